package pools

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/poolrun/poolrun/cluster/internal/keys"
	"github.com/poolrun/poolrun/cluster/internal/store"
	"github.com/poolrun/poolrun/internal/engine"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Holding is slots that are held.
type Holding struct {
	*Pool
	lease    *store.Lease // nil if it is nested
	slots    []int
	fence    int64
	record   keys.Pool
	made     int64 // the revision that made the pool
	held     string
	isNested bool        // the slots are those of an ancestor
	released atomic.Bool // they are being given back

	mutex  sync.Mutex             // of changes of the records
	obeyed map[string]keys.Signal // the answers to signals, by ID
}

// Grant describes the slots for poolrun.
func (h *Holding) Grant(wish engine.Wish) engine.Grant {
	g := engine.Grant{
		Slots: h.slots, Items: itemsOf(h.record, h.slots), Size: h.record.Size, Fence: h.fence, Held: h.held, Nested: h.isNested,
		Keep: h.record.Keep, Term: h.record.Lease, PID: wish.PID, Command: wish.Command, Guarded: wish.Guarded, KillAfter: wish.KillAfter,
	}
	if h.lease != nil {
		g.Lease, g.Term, g.Made = formatLease(h.lease.ID), h.lease.TTL, h.made
	}
	return g
}

// Adopt returns the slots that a grant describes, whose engine is gone. It does not speak with etcd: whether
// the slots are still held is seen by the watch.
func (p *Pool) Adopt(g engine.Grant) (*Holding, error) {
	id, err := parseLease(g.Lease)
	if err != nil {
		return nil, err
	}
	h := &Holding{
		Pool: p, lease: p.store.Adopt(id, g.Term, g.Safe), slots: g.Slots, fence: g.Fence, made: g.Made, held: g.Held,
		record: keys.Pool{Size: g.Size, Lease: g.Term, Keep: g.Keep},
	}
	return h, nil
}

// Lease is the lease that the slots hang on.
func (h *Holding) Lease() *store.Lease { return h.lease }

// IsNested reports whether the slots are those of an ancestor, which gives them back.
func (h *Holding) IsNested() bool { return h.isNested }

// Release gives the slots back. The answer to a signal precedes it.
func (h *Holding) Release(ctx context.Context) error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.released.Store(true)
	return h.explain(h.lease.Revoke(ctx))
}

// Update changes the records of the slots, which are for people.
func (h *Holding) Update(ctx context.Context, change func(*keys.Participant)) error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.update(ctx, h.slots, change)
}

// update changes the records of slots, as long as they are held. If somebody else changes one at the same time, it
// tries again.
func (h *Holding) update(ctx context.Context, slots []int, change func(*keys.Participant)) error {
	for {
		list, err := h.read(ctx, slots)
		if err != nil {
			return err
		}
		var conditions []clientv3.Cmp
		var puts []clientv3.Op
		for _, kv := range list {
			key, record := string(kv.Key), keys.ReadParticipant(kv.Value)
			change(&record)
			conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision))
			puts = append(puts, clientv3.OpPut(key, keys.Encode(record), clientv3.WithIgnoreLease()))
		}
		answer, err := h.do(ctx, func(txn clientv3.Txn) clientv3.Txn { return txn.If(conditions...).Then(puts...) })
		if err != nil || answer.Succeeded {
			return h.explain(err)
		}
	}
}

// read reads the keys of slots that are still held.
func (h *Holding) read(ctx context.Context, slots []int) (list []*mvccpb.KeyValue, err error) {
	first, last := h.space.Slot(slots[0]), h.space.Slot(slots[len(slots)-1])
	answer, err := h.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.Then(clientv3.OpGet(first, clientv3.WithRange(last+"\x00")))
	})
	if err != nil {
		return nil, h.explain(err)
	}
	return slices.DeleteFunc(keysOf(answer, 0), func(kv *mvccpb.KeyValue) bool { return clientv3.LeaseID(kv.Lease) != h.lease.ID }), nil
}

// errLost means that slots are not held any more.
var errLost = errors.New("etcd does not know the slot's lease any more")

// Watch watches the slots until ctx ends, or until they are not held any more: then it returns errLost. If they
// were given back, or the pool was destroyed, it returns nil. signal is called for a signal that the command is to get; its error is
// passed on to whoever has sent it.
func (h *Holding) Watch(ctx context.Context, signal func(n int) error) error {
	for ctx.Err() == nil {
		err := h.watchOnce(ctx, signal)
		switch {
		case errors.Is(err, errLost) && h.released.Load():
			return nil
		case errors.Is(err, errLost):
			return h.whyLost(ctx)
		case err != nil:
			sleep(ctx, tryAgain)
		}
	}
	return nil
}

func (h *Holding) watchOnce(ctx context.Context, signal func(n int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, last := h.slots[0], h.slots[len(h.slots)-1]
	events, err := h.store.Watch(ctx, h.space.Slot(first), clientv3.WithRange(h.space.Slot(last)+"\x00"))
	if err != nil {
		return err
	}
	list, err := h.read(ctx, h.slots)
	if err != nil {
		return err
	}
	for _, kv := range list {
		if err := h.obey(ctx, kv, signal); err != nil {
			return err
		}
	}
	if len(list) < len(h.slots) {
		return errLost
	}
	for {
		select {
		case answer, ok := <-events:
			if !ok || answer.Err() != nil {
				return store.ErrBroken
			}
			for _, e := range answer.Events {
				switch {
				case !h.isOwn(string(e.Kv.Key)):
				case e.Type == clientv3.EventTypeDelete, clientv3.LeaseID(e.Kv.Lease) != h.lease.ID:
					return errLost
				default:
					if err := h.obey(ctx, e.Kv, signal); err != nil {
						return err
					}
				}
			}
		case <-h.lease.Gone():
			return errLost
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *Holding) isOwn(key string) bool {
	for _, slot := range h.slots {
		if h.space.Slot(slot) == key {
			return true
		}
	}
	return false
}

// whyLost returns errLost, or nil if the pool was destroyed: then nobody else can have the slots.
func (h *Holding) whyLost(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, cleanUpLimit)
	defer cancel()
	answer, err := h.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.Then(clientv3.OpGet(h.space.Pool(), clientv3.WithKeysOnly()))
	})
	if err != nil {
		return errLost
	}
	for _, kv := range keysOf(answer, 0) {
		if kv.CreateRevision == h.made {
			return errLost
		}
	}
	return nil
}

// obey signals the command if the record of a slot asks for it, and answers in the same record. If it cannot, the
// watch begins again, and a signal that is seen again is only answered.
func (h *Holding) obey(ctx context.Context, kv *mvccpb.KeyValue, signal func(n int) error) error {
	asked := keys.ReadParticipant(kv.Value).Signal
	slot, err := h.space.SlotOf(string(kv.Key))
	if err != nil || asked == nil || asked.Done {
		return nil
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	answer, isKnown := h.obeyed[asked.ID]
	if !isKnown {
		answer = keys.Signal{ID: asked.ID, Number: asked.Number, Done: true}
		if err := signal(asked.Number); err != nil {
			answer.Error = err.Error()
		}
		if h.obeyed == nil {
			h.obeyed = map[string]keys.Signal{}
		}
		h.obeyed[asked.ID] = answer
	}
	ctx, cancel := context.WithTimeout(ctx, cleanUpLimit)
	defer cancel()
	return h.update(ctx, []int{slot}, func(r *keys.Participant) {
		if r.Signal != nil && r.Signal.ID == asked.ID {
			r.Signal = &answer
		}
	})
}
