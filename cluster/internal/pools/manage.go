package pools

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/keys"
	"github.com/poolrun/poolrun/cluster/internal/store"
	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/pool"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Create makes a pool that does not exist yet. It returns ErrExist if there is one, or ErrInvalid.
func (p *Pool) Create(ctx context.Context, c engine.Config) error {
	record := keys.Pool{Layout: keys.Layout, Size: c.Size, Lease: c.Lease, Keep: c.Keep, Items: c.Items, Delay: c.Delay, Created: time.Now().UTC()}
	if record.Size == 0 {
		record.Size = len(c.Items)
	}
	if record.Lease == 0 {
		record.Lease = keys.DefaultLease
	}
	invalid := func(what, why string) error {
		return &pool.Error{Pool: what, Kind: pool.ErrInvalid, Cause: errors.New(why)}
	}
	switch {
	case record.Size < 1 || record.Size > pool.MaxSlots:
		return invalid(fmt.Sprintf("size %d", record.Size), fmt.Sprintf("a pool has 1 to %d slots", pool.MaxSlots))
	case len(c.Items) != 0 && len(c.Items) != record.Size:
		return invalid("items", fmt.Sprintf("there are %d for %d slots", len(c.Items), record.Size))
	case record.Lease < keys.MinLease || record.Lease > keys.MaxLease:
		return invalid(fmt.Sprintf("lease %v", record.Lease), fmt.Sprintf("a lease is %v to %v", keys.MinLease, keys.MaxLease))
	case record.Delay < 0 || record.Delay > pool.MaxDelay:
		return invalid(fmt.Sprintf("delay %v", record.Delay), "a delay is 0 to 366 days")
	}
	for _, item := range c.Items {
		if len(item) > pool.MaxItemBytes {
			return invalid(fmt.Sprintf("item %q", item), fmt.Sprintf("it is longer than %d bytes", pool.MaxItemBytes))
		}
	}
	if err := p.CheckVersion(ctx); err != nil {
		return err
	}
	value := keys.Encode(record)
	answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.If(clientv3.Compare(clientv3.CreateRevision(p.space.All()).WithPrefix(), "=", 0)).
			Then(clientv3.OpPut(p.space.Pool(), value), clientv3.OpPut(keys.Entry(p.url.Name), "")).
			Else(clientv3.OpGet(p.space.Pool()))
	})
	switch {
	case err != nil:
		return p.explain(err)
	case answer.Succeeded:
		return nil
	}
	for _, kv := range keysOf(answer, 0) {
		if string(kv.Value) == value { // by an earlier try of this request
			return nil
		}
	}
	return p.fail(pool.ErrExist, nil)
}

// Resize gives the pool another size, as pool.Resize does.
func (p *Pool) Resize(ctx context.Context, size int) error {
	if size < 0 || size > pool.MaxSlots {
		return &pool.Error{Pool: fmt.Sprintf("size %d", size), Kind: pool.ErrInvalid, Cause: fmt.Errorf("want 0 to %d", pool.MaxSlots)}
	}
	for {
		v, err := p.look(ctx, p.space.Line())
		if err != nil {
			return err
		}
		if v.record.Size == size {
			return nil
		}
		v.record.Size = size
		answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
			return txn.If(clientv3.Compare(clientv3.ModRevision(p.space.Pool()), "=", v.changed)).
				Then(clientv3.OpPut(p.space.Pool(), keys.Encode(v.record)))
		})
		if err != nil || answer.Succeeded {
			return p.explain(err)
		}
	}
}

// Destroy removes a pool that is not in use. It returns ErrInUse if anybody holds a slot or waits for one.
func (p *Pool) Destroy(ctx context.Context) error {
	for {
		v, err := p.look(ctx, p.endOfLine())
		if err != nil {
			return err
		}
		if len(v.slots) > 0 || len(v.before) > 0 {
			return p.fail(pool.ErrInUse, nil)
		}
		if done, err := p.remove(ctx, v); done || err != nil {
			return err
		}
	}
}

// endOfLine is a key behind all waiters.
func (p *Pool) endOfLine() string { return clientv3.GetPrefixRangeEnd(p.space.Line()) }

// remove removes a pool in which nothing has begun since a view.
func (p *Pool) remove(ctx context.Context, v *view) (done bool, err error) {
	answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.If(
			clientv3.Compare(clientv3.CreateRevision(p.space.Pool()), "=", v.made),
			clientv3.Compare(clientv3.CreateRevision(p.space.Slots()).WithPrefix(), "=", 0),
			clientv3.Compare(clientv3.CreateRevision(p.space.Line()).WithPrefix(), "=", 0),
		).Then(p.removal()...)
	})
	if err != nil {
		return false, p.explain(err)
	}
	return answer.Succeeded, nil
}

func (p *Pool) removal() []clientv3.Op {
	return []clientv3.Op{clientv3.OpDelete(p.space.All(), clientv3.WithPrefix()), clientv3.OpDelete(keys.Entry(p.url.Name))}
}

// ForceDestroy removes a pool even if it is in use, or damaged. Holders are not disturbed, and waiters get
// ErrDestroyed.
func (p *Pool) ForceDestroy(ctx context.Context) error {
	answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn { return txn.Then(p.removal()...) })
	if err != nil {
		return p.explain(err)
	}
	deleted := int64(0)
	for i := range answer.Responses {
		deleted += answer.Responses[i].GetResponseDeleteRange().Deleted
	}
	if deleted == 0 {
		return p.fail(pool.ErrNotExist, nil)
	}
	return nil
}

// WaitIdle returns when nobody holds a slot and nobody waits for one. It returns ErrDestroyed if the pool is
// destroyed meanwhile.
func (p *Pool) WaitIdle(ctx context.Context) error {
	_, err := p.waitIdle(ctx)
	return err
}

func (p *Pool) waitIdle(ctx context.Context) (*view, error) {
	made := int64(0)
	for {
		v, err := p.waitIdleOnce(ctx, &made)
		switch {
		case v != nil:
			return v, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case isNotExist(err) && made != 0:
			return nil, p.fail(pool.ErrDestroyed, nil)
		case err != nil && (made == 0 || !store.Silent(err)):
			return nil, err
		case err != nil:
			sleep(ctx, tryAgain)
		}
	}
}

// waitIdleOnce waits with one watch, until it fails.
func (p *Pool) waitIdleOnce(ctx context.Context, made *int64) (*view, error) {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	var events clientv3.WatchChan
	for {
		v, err := p.firstLook(ctx, *made == 0)
		switch {
		case err != nil:
			return nil, err
		case *made != 0 && *made != v.made:
			return nil, p.fail(pool.ErrDestroyed, nil)
		case len(v.slots) == 0 && len(v.before) == 0:
			return v, nil
		}
		if *made = v.made; events == nil { // then look again: nothing is missed
			if events, err = p.store.Watch(watching, p.space.All(), clientv3.WithPrefix(), clientv3.WithFilterPut()); err != nil {
				return nil, p.explain(err)
			}
			continue
		}
		select {
		case answer, ok := <-events:
			if !ok || answer.Err() != nil {
				return nil, nil
			}
		case <-time.After(nearInterval):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// firstLook looks at the whole pool. Only the first look has a limit.
func (p *Pool) firstLook(ctx context.Context, isFirst bool) (*view, error) {
	if isFirst {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, ManageLimit)
		defer cancel()
	}
	return p.look(ctx, p.endOfLine())
}

// ManageLimit is how long a request may take that only manages a pool, and the beginning of one that waits.
const ManageLimit = 4 * time.Second

// Drain refuses newcomers, waits until the pool is idle, and destroys it. If ctx ends earlier, and also if
// this process dies, newcomers are admitted again. It returns ErrDraining if another process drains the
// pool already.
func (p *Pool) Drain(ctx context.Context) error {
	first, cancel := context.WithTimeout(ctx, ManageLimit)
	defer cancel()
	lease, err := p.store.Grant(first, waiterLease)
	if err != nil {
		return p.explain(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanUpLimit)
		defer cancel()
		lease.Revoke(ctx)
	}()
	if err := p.beginDrain(first, lease.ID); err != nil {
		return err
	}
	for {
		v, err := p.waitIdle(ctx)
		if err != nil {
			return err
		}
		if done, err := p.remove(ctx, v); done || err != nil {
			return err
		}
	}
}

func (p *Pool) beginDrain(ctx context.Context, lease clientv3.LeaseID) error {
	answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.If(
			clientv3.Compare(clientv3.CreateRevision(p.space.Pool()), ">", 0),
			clientv3.Compare(clientv3.CreateRevision(p.space.Drain()), "=", 0),
		).Then(clientv3.OpPut(p.space.Drain(), keys.Encode(keys.Participant{Host: p.local.Host, PID: os.Getpid()}), clientv3.WithLease(lease))).
			Else(clientv3.OpGet(p.space.Pool()), clientv3.OpGet(p.space.Drain()))
	})
	switch {
	case err != nil:
		return p.explain(err)
	case answer.Succeeded:
		return nil
	case len(keysOf(answer, 0)) == 0:
		return p.fail(pool.ErrNotExist, nil)
	}
	for _, kv := range keysOf(answer, 1) {
		if clientv3.LeaseID(kv.Lease) == lease { // by an earlier try of this request
			return nil
		}
	}
	return p.fail(pool.ErrDraining, nil)
}

// answerLimit is how long the machine of a holder may take to obey a signal.
const answerLimit = 5 * time.Second

// Signal asks the engine of the holder of a slot to signal its command, and waits for the answer. It returns
// ErrInvalid for a slot that the pool does not have, ErrFree if nobody holds the slot, and ErrUnavailable if
// the command could not be signalled, or if the holder's machine does not answer.
func (p *Pool) Signal(ctx context.Context, slot, number int) (pid int, err error) {
	v, err := p.look(ctx, p.space.Line())
	if err != nil {
		return 0, err
	}
	if slot < 0 || slot >= v.record.Size && !v.slots[slot] {
		return 0, &pool.Error{Pool: fmt.Sprintf("slot %d", slot), Kind: pool.ErrInvalid, Cause: fmt.Errorf("pool %s has %d slots, from 0 on", p.url, v.record.Size)}
	}
	key, free := p.space.Slot(slot), p.fail(pool.ErrFree, fmt.Errorf("slot %d is free", slot))
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	events, err := p.store.Watch(ctx, key)
	if err != nil {
		return 0, p.explain(err)
	}
	id := rand.Text()
	var holder keys.Participant
	for {
		answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn { return txn.Then(clientv3.OpGet(key)) })
		if err != nil {
			return 0, p.explain(err)
		}
		list := keysOf(answer, 0)
		if len(list) == 0 {
			return 0, free
		}
		holder = keys.ReadParticipant(list[0].Value)
		holder.Signal = &keys.Signal{ID: id, Number: number}
		answer, err = p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
			return txn.If(clientv3.Compare(clientv3.ModRevision(key), "=", list[0].ModRevision)).
				Then(clientv3.OpPut(key, keys.Encode(holder), clientv3.WithIgnoreLease())).
				Else(clientv3.OpGet(key))
		})
		if err != nil {
			return 0, p.explain(err)
		}
		if answer.Succeeded {
			break
		}
	}
	for {
		select {
		case answer, ok := <-events:
			if !ok || answer.Err() != nil {
				return 0, p.explain(store.ErrBroken)
			}
			for _, e := range answer.Events {
				if e.Type == clientv3.EventTypeDelete {
					return 0, free
				}
				asked := keys.ReadParticipant(e.Kv.Value).Signal
				if asked == nil || asked.ID != id || !asked.Done {
					continue
				}
				if asked.Error != "" {
					return 0, p.fail(pool.ErrUnavailable, fmt.Errorf("slot %d: %s", slot, asked.Error))
				}
				return keys.ReadParticipant(e.Kv.Value).CommandPID, nil
			}
		case <-ctx.Done():
			return 0, p.fail(pool.ErrUnavailable, fmt.Errorf("the machine %s, where slot %d is held, does not answer", holder.Host, slot))
		}
	}
}
