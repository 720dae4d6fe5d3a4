package pools

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/poolrun/poolrun/cluster/internal/keys"
	"github.com/poolrun/poolrun/pool"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// sideBySide is how many waiters may take slots at the same time: the first in line, and those right behind
// it, as long as enough remains for all before them.
const sideBySide = 8

// leastReady is how many waiters behind the first one are ready to take slots, however few slots there are: to get
// ready takes about as long as two hand-overs.
const leastReady = 2

// A view is what a participant sees of a pool in one revision. It comes from a look, and later revisions can be
// applied to it as a watch reports them.
type view struct {
	space    keys.Space
	revision int64
	cluster  uint64

	record  keys.Pool
	changed int64 // the revision of the record
	made    int64 // the revision that made the pool

	takes, jumps int64 // the revisions of the last take and the last jump, 0 for none
	drained      bool
	paused       bool // a start was made less than the pool's delay ago

	slots map[int]bool // those that are held

	before []keys.Place // in line before this participant, in order; at most sideBySide + 1
	own    int64        // the revision that made this participant's key in line, 0: it does not stand there
}

// lookOps are the operations of a look, for a participant whose key in line is, or would be, me. The
// function read decodes their answers.
func (p *Pool) lookOps(me string) []clientv3.Op {
	return []clientv3.Op{
		clientv3.OpGet(p.space.Pool(), clientv3.WithRange(p.space.Slots())),
		clientv3.OpGet(p.space.Slots(), clientv3.WithPrefix(), clientv3.WithKeysOnly()),
		clientv3.OpGet(p.space.Line(), clientv3.WithRange(me), clientv3.WithLimit(sideBySide+1), clientv3.WithKeysOnly()),
		clientv3.OpGet(me, clientv3.WithKeysOnly()),
	}
}

// look looks at the pool. It returns ErrNotExist, ErrVersion, ErrDamaged, ErrPermission or ErrUnavailable.
func (p *Pool) look(ctx context.Context, me string) (*view, error) {
	answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn { return txn.Then(p.lookOps(me)...) })
	if err != nil {
		return nil, p.explain(err)
	}
	return p.read(answer)
}

// read decodes the answers of lookOps, which come first in a transaction.
func (p *Pool) read(answer *clientv3.TxnResponse) (*view, error) {
	v := &view{space: p.space, revision: answer.Header.Revision, cluster: answer.Header.ClusterId, slots: map[int]bool{}}
	for i := range 3 {
		for _, kv := range keysOf(answer, i) {
			if err := p.put(v, kv); err != nil {
				return nil, err
			}
		}
	}
	if v.made == 0 {
		return nil, p.fail(pool.ErrNotExist, nil)
	}
	for _, kv := range keysOf(answer, 3) {
		v.own = kv.CreateRevision
	}
	return v, nil
}

// put puts a key into a view: one of the pool, of a slot, or of somebody before this participant. The keys of a
// look come in order.
func (p *Pool) put(v *view, kv *mvccpb.KeyValue) (err error) {
	switch key := string(kv.Key); {
	case key == p.space.Pool():
		v.changed, v.made = kv.ModRevision, kv.CreateRevision
		v.record, err = p.record(kv.Value)
		return err
	case key == p.space.Takes():
		v.takes = kv.ModRevision
	case key == p.space.Jumps():
		v.jumps = kv.ModRevision
	case key == p.space.Drain():
		v.drained = true
	case key == p.space.Pause():
		v.paused = true
	case strings.HasPrefix(key, p.space.Slots()):
		slot, err := p.space.SlotOf(key)
		if err != nil {
			return p.fail(pool.ErrDamaged, err)
		}
		v.slots[slot] = true
	case strings.HasPrefix(key, p.space.Line()):
		place, err := p.space.PlaceOf(key)
		if err != nil {
			return p.fail(pool.ErrDamaged, err)
		}
		if i, isKnown := slices.BinarySearchFunc(v.before, key, v.compare); !isKnown {
			v.before = slices.Insert(v.before, i, place)
		}
	}
	return nil
}

// drop removes a key from a view.
func (p *Pool) drop(v *view, key string) {
	switch {
	case key == p.space.Pool():
		v.made = 0
	case key == p.space.Drain():
		v.drained = false
	case key == p.space.Pause():
		v.paused = false
	case strings.HasPrefix(key, p.space.Slots()):
		if slot, err := p.space.SlotOf(key); err == nil {
			delete(v.slots, slot)
		}
	default:
		if i, isKnown := slices.BinarySearchFunc(v.before, key, v.compare); isKnown {
			v.before = slices.Delete(v.before, i, i+1)
		}
	}
}

func (v *view) compare(place keys.Place, key string) int {
	return strings.Compare(v.space.Waiter(place), key)
}

// apply applies what a watch of all that a look shows reports, of a participant whose key is me. What the view
// shows already is left out. All changes of one revision come together.
func (p *Pool) apply(v *view, events []*clientv3.Event, me string) error {
	made := v.made
	for _, e := range events {
		if e.Kv.ModRevision <= v.revision {
			continue
		}
		switch key := string(e.Kv.Key); {
		case key == me && e.Type == clientv3.EventTypeDelete:
			v.own = 0
		case key == me:
			v.own = e.Kv.CreateRevision
		case e.Type == clientv3.EventTypeDelete:
			p.drop(v, key)
		default:
			if err := p.put(v, e.Kv); err != nil {
				return err
			}
		}
	}
	if n := len(events); n > 0 {
		v.revision = max(v.revision, events[n-1].Kv.ModRevision)
	}
	if v.made != made {
		return p.fail(pool.ErrDestroyed, nil)
	}
	return nil
}

// keysOf returns what the operation i of a transaction has read.
func keysOf(answer *clientv3.TxnResponse, i int) []*mvccpb.KeyValue {
	return answer.Responses[i].GetResponseRange().Kvs
}

// isNear reports whether so few stand before this participant that it may take slots, or soon can.
func (v *view) isNear() bool { return len(v.before) <= v.breadth() }

// breadth is how many waiters may take slots at the same time: no more than the pool has slots. But the next few
// are always ready.
func (v *view) breadth() int { return min(max(v.record.Size, leastReady), sideBySide) }

// ahead is how many slots those before this participant ask for.
func (v *view) ahead() (slots int) {
	for _, place := range v.before {
		slots += place.Of(v.record.Size)
	}
	return slots
}

// lacks is how many slots have to become free before a participant may take its own: enough has to remain
// for all before it. It is 0 or less if it may take them now. In a paused pool, of size 0, "all slots" are none.
func (v *view) lacks(me keys.Place) int {
	return len(v.slots) + v.ahead() + max(me.Of(v.record.Size), 1) - v.record.Size
}

// isBarred reports whether somebody before this participant may not be passed, because a condition holds
// it.
func (v *view) isBarred() bool {
	for _, place := range v.before {
		if place.Held {
			return true
		}
	}
	return false
}

// heldBy returns the slots of a lease, in ascending order, and the revision of their take. A look does not
// show that: etcd leaves leases out with the values.
func (p *Pool) heldBy(ctx context.Context, lease clientv3.LeaseID) (slots []int, fence int64, err error) {
	answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.Then(clientv3.OpGet(p.space.Slots(), clientv3.WithPrefix()))
	})
	if err != nil {
		return nil, 0, p.explain(err)
	}
	for _, kv := range keysOf(answer, 0) {
		if slot, err := p.space.SlotOf(string(kv.Key)); err == nil && clientv3.LeaseID(kv.Lease) == lease {
			slots, fence = append(slots, slot), kv.CreateRevision
		}
	}
	return slots, fence, nil
}

// choose chooses free slots for a participant: the lowest that remain if those before it take theirs first. So
// those who take at the same moment do not choose the same, and the limit holds after a shrink: see "Why the limit
// holds" in docs/cluster.md.
func (v *view) choose(weight int) (slots []int) {
	skip := v.ahead()
	for slot := 0; slot < v.record.Size && len(slots) < weight; slot++ {
		if v.slots[slot] {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		slots = append(slots, slot)
	}
	return slots
}

// itemsOf lists what slots stand for: nothing if the pool has no items.
func itemsOf(record keys.Pool, slots []int) (items []string) {
	for _, slot := range slots {
		if slot < len(record.Items) {
			items = append(items, record.Items[slot])
		}
	}
	return items
}

// checkWeight returns an error for a weight that cannot be had.
func (p *Pool) checkWeight(record keys.Pool, weight int) error {
	slots := keys.Place{Weight: weight}.Of(record.Size)
	switch {
	case slots > keys.MaxWeight:
		return p.fail(pool.ErrTooHeavy, tooHeavy(slots))
	case record.Size > 0 && slots > record.Size:
		return p.fail(pool.ErrTooHeavy, tooFew{record.Size, slots})
	}
	return nil
}

// exists reports whether a key exists.
func (p *Pool) exists(ctx context.Context, key string) (bool, error) {
	answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.Then(clientv3.OpGet(key, clientv3.WithKeysOnly()))
	})
	if err != nil {
		return false, p.explain(err)
	}
	return len(keysOf(answer, 0)) > 0, nil
}

type tooFew struct{ has, want int }

func (t tooFew) Error() string { return fmt.Sprintf("it has %d, and %d were asked for", t.has, t.want) }

type tooHeavy int

func (t tooHeavy) Error() string {
	return fmt.Sprintf("%d were asked for, and a command can take at most %d slots of a pool on etcd", int(t), keys.MaxWeight)
}
