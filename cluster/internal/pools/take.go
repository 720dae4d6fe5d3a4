package pools

import (
	"context"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/keys"
	"github.com/poolrun/poolrun/cluster/internal/store"
	"github.com/poolrun/poolrun/internal/engine"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A participant wants slots of a pool.
type participant struct {
	*Pool
	place   keys.Place
	record  keys.Participant // as a waiter
	process string           // what poolrun is: see Request

	holder *store.Lease     // for the slots
	pause  clientv3.LeaseID // in a pool with a delay, for the key that says that a start was made
	waiter *store.Lease     // for the place in line
	joined int64            // the revision that made the key in line; 0: it does not stand in line
	jumps  bool             // somebody stood behind when it joined: see guards

	hasStood  bool  // in line, if perhaps not now
	uncertain int64 // what joined was in a take whose answer was lost and which may still be made, 0: there is none

	conditions []condition
	isStopped  func() bool        // whether poolrun is stopped
	tell       func(engine.Event) // tells poolrun what another engine would have to know
	starts     starts
}

// grantHolder gets a lease for the slots, in the place of one that is not used any more.
func (p *participant) grantHolder(ctx context.Context, ttl time.Duration) error {
	if old := p.holder; old != nil {
		p.holder, p.uncertain = nil, 0
		p.inBackground(func(ctx context.Context) { old.Revoke(ctx) })
	}
	lease, err := p.store.Grant(ctx, ttl)
	if err != nil {
		return p.explain(err)
	}
	p.holder = lease
	p.tell(engine.Event{Lease: formatLease(lease.ID)})
	return nil
}

// inBackground gives something back for which nothing has to wait. What is not given back runs out.
func (p *participant) inBackground(f func(context.Context)) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanUpLimit)
		defer cancel()
		f(ctx)
	}()
}

func (p *participant) key() string { return p.space.Waiter(p.place) }

// A guard is a condition under which a take is made. Each of them keeps one way to break the limit or the
// order from happening between the look and the take. Their names are for the test that removes one.
type guard struct {
	name string
	cmp  clientv3.Cmp
}

// guards are the guards of a take of these slots that was decided on a view.
func (p *participant) guards(v *view, slots []int) (list []guard) {
	add := func(name string, cmp clientv3.Cmp) { list = append(list, guard{name, cmp}) }
	// The size and all else that the decision used is what it was. A pool that is destroyed, or made anew, is
	// another.
	add("pool", clientv3.Compare(clientv3.ModRevision(p.space.Pool()), "=", v.changed))
	// Nobody has come before me in the meantime: a waiter with a higher priority, or one that came at the same
	// moment.
	add("line", clientv3.Compare(clientv3.CreateRevision(p.space.Line()).WithRange(p.key()), "<", v.revision+1))
	// Nobody has the slots.
	for _, slot := range slots {
		add("slot", clientv3.Compare(clientv3.CreateRevision(p.space.Slot(slot)), "=", 0))
	}
	// I stand where I stood. A take whose answer was lost is not made again.
	add("place", clientv3.Compare(clientv3.CreateRevision(p.key()), "=", p.joined))
	// Those before me can still have theirs: nobody has jumped. That is, taken slots without my having seen
	// it in line before me.
	if len(v.before) > 0 {
		add("jump", clientv3.Compare(clientv3.ModRevision(p.space.Jumps()), "=", v.jumps))
	}
	// A newcomer is not admitted to a pool that is drained.
	if p.joined == 0 {
		add("drain", clientv3.Compare(clientv3.CreateRevision(p.space.Drain()), "=", 0))
	}
	// No start was made since the delay was measured.
	if v.record.Delay > 0 {
		add("delay", clientv3.Compare(clientv3.ModRevision(p.space.Takes()), "=", v.takes))
	}
	return list
}

// withoutGuard is the name of a guard that is left out, for the test that removes one.
var withoutGuard string

// beforeTake is called between a look and its take, by a test.
var beforeTake = func(*participant, *view) {}

// take tries to take slots, on what was seen in a view. If the guards do not hold, nothing is changed and it
// returns the present view.
//
// After an error for which store.Silent reports true, the slots can have been taken, or be taken later: see
// settle.
func (p *participant) take(ctx context.Context, v *view) (slots []int, fence int64, now *view, err error) {
	weight := p.place.Of(v.record.Size)
	slots = v.choose(weight)
	var conditions []clientv3.Cmp
	for _, g := range p.guards(v, slots) {
		if g.name != withoutGuard {
			conditions = append(conditions, g.cmp)
		}
	}
	beforeTake(p, v)
	holder := p.record
	holder.Place, holder.WaitsFor, holder.Since, holder.Processes = p.place.String(), "", time.Now(), []string{p.process}
	var puts []clientv3.Op
	for _, slot := range slots {
		puts = append(puts, clientv3.OpPut(p.space.Slot(slot), keys.Encode(holder), clientv3.WithLease(p.holder.ID)))
	}
	puts = append(puts, clientv3.OpPut(p.space.Takes(), ""))
	if v.record.Delay > 0 {
		puts = append(puts, clientv3.OpPut(p.space.Pause(), "", clientv3.WithLease(p.pause)))
	}
	if p.joined == 0 || p.jumps {
		puts = append(puts, clientv3.OpPut(p.space.Jumps(), ""))
	}
	if p.joined != 0 {
		puts = append(puts, clientv3.OpDelete(p.key()))
	}
	answer, err := p.once(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.If(conditions...).Then(puts...).Else(p.lookOps(p.key())...)
	})
	if isMade := err == nil && answer.Succeeded; !isMade && !store.Silent(err) {
		p.dropPause()
	}
	switch {
	case err != nil:
		return slots, 0, nil, err
	case answer.Succeeded:
		return slots, answer.Header.Revision, nil, nil
	}
	now, err = p.read(answer)
	return nil, 0, now, err
}

// settle finds out whether a take whose answer was lost has been made. If not, it makes sure that it will
// not be made later: the lease that the slots would have hung on is gone then.
func (p *participant) settle(ctx context.Context) (slots []int, fence int64, err error) {
	p.uncertain = p.joined
	if slots, fence, err = p.heldBy(ctx, p.holder.ID); slots != nil || err != nil {
		return slots, fence, err
	}
	if p.joined != 0 { // the guard "place" keeps two takes from being made: see settleLate
		return nil, 0, nil
	}
	err = p.holder.Revoke(ctx)
	p.holder = nil
	return nil, 0, err
}

// settleLate finds out, once the key in line has gone, whether a take whose answer was lost has been made after
// all. It cannot be made later, since its guard "place" does not hold any more.
func (p *participant) settleLate(ctx context.Context, v *view) (slots []int, fence int64, err error) {
	if p.uncertain == 0 || v.own == p.uncertain {
		return nil, 0, nil
	}
	if slots, fence, err = p.heldBy(ctx, p.holder.ID); err == nil {
		p.uncertain = 0
	}
	return slots, fence, err
}
