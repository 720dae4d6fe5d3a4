package pools

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/poolrun/poolrun/cluster/internal/keys"
	"github.com/poolrun/poolrun/cluster/internal/store"
	"github.com/poolrun/poolrun/pool"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Signal asks the engine of the holder of a slot to signal its command, and waits for the answer until ctx ends. It
// returns ErrInvalid for a slot that the pool does not have, ErrFree if nobody holds the slot, and ErrUnavailable if
// the command could not be signalled, or if the holder's machine does not answer.
func (p *Pool) Signal(ctx context.Context, slot, number int) (pid int, err error) {
	v, err := p.look(ctx, p.space.Line())
	if err != nil {
		return 0, err
	}
	if slot < 0 || slot >= v.record.Size && !v.slots[slot] {
		return 0, &pool.Error{Pool: fmt.Sprintf("slot %d", slot), Kind: pool.ErrInvalid, Cause: fmt.Errorf("pool %s has %d slots, from 0 on", p.url, v.record.Size)}
	}
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	key := p.space.Slot(slot)
	events, err := p.store.Watch(watching, key)
	if errors.Is(err, context.DeadlineExceeded) {
		err = store.ErrSilent
	}
	if err != nil {
		return 0, p.explain(err)
	}
	asked := &signalRequest{key: key, signal: keys.Signal{ID: rand.Text(), Number: number}, events: events}
	isHeld, err := p.ask(ctx, asked)
	if isHeld && err == nil {
		isHeld, err = asked.await(ctx)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return 0, p.fail(pool.ErrUnavailable, fmt.Errorf("the machine %s, where slot %d is held, does not answer", asked.holder.Host, slot))
	case err != nil:
		return 0, p.explain(err)
	case !isHeld:
		return 0, p.fail(pool.ErrFree, fmt.Errorf("slot %d is free", slot))
	case asked.holder.Signal.Error != "":
		return 0, p.fail(pool.ErrUnavailable, fmt.Errorf("slot %d: %s", slot, asked.holder.Signal.Error))
	}
	return asked.holder.CommandPID, nil
}

// A signalRequest asks the engine of a holder to signal its command.
type signalRequest struct {
	key    string
	signal keys.Signal
	events clientv3.WatchChan // of the key

	since    int64            // the revision that made the key: later, the slot is another's
	holder   keys.Participant // as it was seen last
	revision int64            // in which it was asked
}

// ask puts the signal into the record of the slot, and reports whether that is held. Another signal that is not
// answered yet comes first.
func (p *Pool) ask(ctx context.Context, r *signalRequest) (isHeld bool, err error) {
	for {
		answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn { return txn.Then(clientv3.OpGet(r.key)) })
		if err != nil {
			return false, err
		}
		list := keysOf(answer, 0)
		if len(list) == 0 || r.since != 0 && r.since != list[0].CreateRevision {
			return false, nil
		}
		r.holder, r.since, r.revision = keys.ReadParticipant(list[0].Value), list[0].CreateRevision, list[0].ModRevision
		switch pending := r.holder.Signal; {
		case pending != nil && pending.ID == r.signal.ID: // by a try whose answer was lost
			r.revision-- // it may be answered already
			return true, nil
		case pending != nil && !pending.Done:
			select {
			case answer, ok := <-r.events:
				if !ok || answer.Err() != nil {
					return false, store.ErrBroken
				}
			case <-ctx.Done():
				return true, ctx.Err()
			}
			continue
		}
		record := r.holder
		record.Signal = &r.signal
		answer, err = p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
			return txn.If(clientv3.Compare(clientv3.ModRevision(r.key), "=", r.revision)).
				Then(clientv3.OpPut(r.key, keys.Encode(record), clientv3.WithIgnoreLease()))
		})
		if err != nil || answer.Succeeded {
			return true, err
		}
	}
}

// await waits for the answer, and reports whether the slot is still held.
func (r *signalRequest) await(ctx context.Context) (isHeld bool, err error) {
	for {
		select {
		case answer, ok := <-r.events:
			if !ok || answer.Err() != nil {
				return false, store.ErrBroken
			}
			for _, e := range answer.Events {
				if e.Kv.ModRevision <= r.revision {
					continue
				}
				if e.Type == clientv3.EventTypeDelete {
					return false, nil
				}
				now := keys.ReadParticipant(e.Kv.Value)
				if now.Signal != nil && now.Signal.ID == r.signal.ID && now.Signal.Done {
					r.holder = now
					return true, nil
				}
			}
		case <-ctx.Done():
			return true, ctx.Err()
		}
	}
}
