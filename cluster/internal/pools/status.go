package pools

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/keys"
	"github.com/poolrun/poolrun/cluster/internal/store"
	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/pool"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Status takes a status of the pool. It counts only takes: etcd keeps no other counters. Times are those of
// the clocks of the machines, which can differ.
func (p *Pool) Status(ctx context.Context) (s pool.Status, err error) {
	answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.Then(clientv3.OpGet(p.space.All(), clientv3.WithPrefix()))
	})
	if err != nil {
		return s, p.explain(err)
	}
	s = pool.Status{Name: p.url.String(), Taken: time.Now()}
	var record keys.Pool
	isFound := false
	holders := map[int64]int{} // by lease, the place in the list
	for _, kv := range keysOf(answer, 0) {
		key := string(kv.Key)
		switch {
		case key == p.space.Pool():
			if record, err = p.record(kv.Value); err != nil {
				return s, err
			}
			isFound = true
		case key == p.space.Takes():
			s.Counters.Acquired = uint64(kv.Version)
		case key == p.space.Drain():
			s.Draining = true
		case key == p.space.Jumps(), key == p.space.Pause():
		default:
			if err := p.addParticipant(&s, key, kv.Value, kv.Lease, record, holders); err != nil {
				return s, err
			}
		}
	}
	if !isFound {
		return s, p.fail(pool.ErrNotExist, nil)
	}
	s.Size, s.Created, s.Delay = record.Size, record.Created, record.Delay
	s.Available = max(s.Size-s.InUse, 0)
	for i := range s.Holders {
		s.Holders[i].Items = itemsOf(record, s.Holders[i].Slots)
	}
	s.Notices = p.notices(ctx, answer.Header.Revision)
	return s, nil
}

// addParticipant adds a holder or a waiter to a status. The keys come in order: slots by number, and then
// the line.
func (p *Pool) addParticipant(s *pool.Status, key string, value []byte, lease int64, record keys.Pool, holders map[int64]int) error {
	who := keys.ReadParticipant(value)
	since := who.Since
	if since.After(s.Taken) { // by another machine's clock
		since = s.Taken
	}
	if slot, err := p.space.SlotOf(key); err == nil {
		s.InUse++
		i, isKnown := holders[lease]
		if !isKnown {
			i = len(s.Holders)
			holders[lease] = i
			s.Holders = append(s.Holders, pool.Holder{
				Host: who.Host, PID: who.PID, CommandPID: who.CommandPID, User: who.User, Orphaned: who.Orphaned, Acquired: since, Command: who.Command,
			})
		}
		s.Holders[i].Slots = append(s.Holders[i].Slots, slot)
		return nil
	}
	place, err := p.space.PlaceOf(key)
	if err != nil {
		return p.fail(pool.ErrDamaged, err)
	}
	s.Waiters = append(s.Waiters, pool.Waiter{
		Host: who.Host, PID: who.PID, User: who.User, Weight: place.Of(record.Size), Whole: place.Weight == keys.Whole,
		Priority: place.Priority, Since: since, Condition: who.WaitsFor, Command: who.Command,
	})
	return nil
}

// mostHistory is how many revisions etcd may keep before that slows it down.
const mostHistory = 100_000

// notices are what is wrong with the cluster.
func (p *Pool) notices(ctx context.Context, revision int64) (list []string) {
	if revision > mostHistory {
		err := p.store.Do(ctx, func(ctx context.Context) error { return p.store.Touch(ctx, p.space.Pool(), revision-mostHistory) })
		if err == nil {
			list = append(list, fmt.Sprintf("etcd keeps more than %d old revisions, which slows it down: set --auto-compaction-retention=5m", mostHistory))
		} else if !errors.Is(err, rpctypes.ErrCompacted) {
			return list
		}
	}
	version, err := p.store.Version(ctx)
	if err == nil && store.IsOld(version) {
		list = append(list, fmt.Sprintf("etcd %s is too old: it can end leases that are renewed", version))
	}
	return list
}

// List takes a status of every pool of the cluster that this user may read.
func List(ctx context.Context, s *store.Store, place engine.URL, local Local) (all engine.Listing, err error) {
	names, err := s.Keys(ctx, keys.Names)
	if err != nil {
		return all, Open(s, place, local).explain(err)
	}
	for _, entry := range names {
		name, ok := keys.NameOf(entry)
		if !ok {
			continue
		}
		switch status, err := Open(s, place.With(name), local).Status(ctx); {
		case err == nil:
			all.Pools = append(all.Pools, status)
		case errors.Is(err, pool.ErrPermission), errors.Is(err, pool.ErrNotExist):
		default:
			all.Problems = append(all.Problems, engine.Fail(err))
		}
	}
	return all, nil
}
