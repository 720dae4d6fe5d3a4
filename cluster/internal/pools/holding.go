package pools

import (
	"context"
	"errors"
	"sync"

	"github.com/poolrun/poolrun/cluster/internal/keys"
	"github.com/poolrun/poolrun/cluster/internal/store"
	"github.com/poolrun/poolrun/internal/engine"
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
	isNested bool // the slots are those of an ancestor

	mutex sync.Mutex // of changes of the records
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
		Pool: p, lease: p.store.Adopt(id, g.Term), slots: g.Slots, fence: g.Fence, made: g.Made, held: g.Held,
		record: keys.Pool{Size: g.Size, Lease: g.Term, Keep: g.Keep},
	}
	return h, nil
}

// Lease is the lease that the slots hang on.
func (h *Holding) Lease() *store.Lease { return h.lease }

// IsNested reports whether the slots are those of an ancestor, which gives them back.
func (h *Holding) IsNested() bool { return h.isNested }

// Keeps reports whether a command runs on whose lease is lost.
func (h *Holding) Keeps() bool { return h.record.Keep }

// Release gives the slots back. The answer to a signal precedes it.
func (h *Holding) Release(ctx context.Context) error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.explain(h.lease.Revoke(ctx))
}

// Update changes the record of the slots, which is for people.
func (h *Holding) Update(ctx context.Context, change func(*keys.Participant)) error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	answer, err := h.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.Then(clientv3.OpGet(h.space.Slot(h.slots[0])))
	})
	if err != nil {
		return h.explain(err)
	}
	for _, kv := range keysOf(answer, 0) {
		record := keys.ReadParticipant(kv.Value)
		record.Signal = nil
		change(&record)
		return h.put(ctx, h.slots, record)
	}
	return nil
}

// put writes a record for slots, as long as they are held.
func (h *Holding) put(ctx context.Context, slots []int, record keys.Participant) error {
	var conditions []clientv3.Cmp
	var puts []clientv3.Op
	for _, slot := range slots {
		conditions = append(conditions, clientv3.Compare(clientv3.LeaseValue(h.space.Slot(slot)), "=", h.lease.ID))
		puts = append(puts, clientv3.OpPut(h.space.Slot(slot), keys.Encode(record), clientv3.WithIgnoreLease()))
	}
	_, err := h.do(ctx, func(txn clientv3.Txn) clientv3.Txn { return txn.If(conditions...).Then(puts...) })
	return h.explain(err)
}

// ErrLost means that slots are not held any more.
var ErrLost = errors.New("etcd does not know the slot's lease any more")

// Watch watches the slots until ctx ends, or until they are not held any more: then it returns ErrLost. If the
// pool was destroyed, it returns nil. signal is called for a signal that the command is to get; its error is
// passed on to whoever has sent it.
func (h *Holding) Watch(ctx context.Context, signal func(n int) error) error {
	for ctx.Err() == nil {
		err := h.watchOnce(ctx, signal)
		switch {
		case errors.Is(err, ErrLost):
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
	answer, err := h.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.Then(clientv3.OpGet(h.space.Slot(first), clientv3.WithRange(h.space.Slot(last)+"\x00")))
	})
	if err != nil {
		return err
	}
	found := 0
	for _, kv := range keysOf(answer, 0) {
		if clientv3.LeaseID(kv.Lease) == h.lease.ID {
			found++
			h.obey(ctx, string(kv.Key), kv.Value, signal)
		}
	}
	if found < len(h.slots) {
		return ErrLost
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
					return ErrLost
				default:
					h.obey(ctx, string(e.Kv.Key), e.Kv.Value, signal)
				}
			}
		case <-h.lease.Gone():
			return ErrLost
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

// whyLost returns ErrLost, or nil if the pool was destroyed: then nobody else can have the slots.
func (h *Holding) whyLost(ctx context.Context) error {
	answer, err := h.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.Then(clientv3.OpGet(h.space.Pool(), clientv3.WithKeysOnly()))
	})
	if err != nil {
		return ErrLost
	}
	for _, kv := range keysOf(answer, 0) {
		if kv.CreateRevision == h.made {
			return ErrLost
		}
	}
	return nil
}

// obey signals the command if the record of a slot asks for it, and answers in the same record.
func (h *Holding) obey(ctx context.Context, key string, value []byte, signal func(n int) error) {
	record := keys.ReadParticipant(value)
	if record.Signal == nil || record.Signal.Done {
		return
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	record.Signal.Done = true
	if err := signal(record.Signal.Number); err != nil {
		record.Signal.Error = err.Error()
	}
	ctx, cancel := context.WithTimeout(ctx, cleanUpLimit)
	defer cancel()
	if slot, err := h.space.SlotOf(key); err == nil {
		h.put(ctx, []int{slot}, record)
	}
}
