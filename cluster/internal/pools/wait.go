package pools

import (
	"context"
	"errors"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/store"
	"github.com/poolrun/poolrun/pool"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// How a participant waits in line. The order is: begin to watch, wait until etcd confirms that, then look. So
// nothing is missed that happens after the look.
//
// Near the front, with at most as many waiters before it as may take slots at the same time, it watches all that a
// look shows, and keeps its view up to date: so it can take its slots without another look. Farther back it
// watches one key only, that of the waiter that many places before it. So a change wakes few.
//
// A look at intervals makes up for whatever a watch may have missed.
const (
	nearInterval = 5 * time.Second
	farInterval  = 30 * time.Second
	pollInterval = time.Second // of what etcd knows nothing about: conditions, and whether poolrun is stopped
)

// await waits until the participant, which stands in line, has taken its slots.
//
// A failure to reach etcd does not end it, and a lease that has run out meanwhile is replaced: the place in
// line is in the key's name. It returns ctx's error, ErrDestroyed, ErrTooHeavy, or another error that does
// not go away by itself.
func (p *participant) await(ctx context.Context, v *view) (slots []int, fence int64, err error) {
	for {
		slots, fence, v, err = p.awaitOnce(ctx, v)
		switch {
		case slots != nil:
			return slots, fence, nil
		case ctx.Err() != nil:
			return nil, 0, p.late(ctx.Err())
		case err == nil:
		case !store.Silent(err):
			return nil, 0, err
		default:
			sleep(ctx, tryAgain)
		}
	}
}

// tryAgain is how long a waiter waits after a failure to reach etcd.
const tryAgain = 200 * time.Millisecond

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// late is the error of a wait that took too long. It says what was waited for besides slots.
func (p *participant) late(err error) error {
	if p.record.WaitsFor != "" && errors.Is(err, context.DeadlineExceeded) {
		return p.fail(pool.ErrTooLate, waitsFor{p.record.WaitsFor, err})
	}
	return err
}

// A waitsFor is the cause of an error of a request that has to wait for this, and not for slots.
type waitsFor struct {
	text string
	end  error // of the context, or nil
}

func (w waitsFor) Error() string { return "it waits for " + w.text }
func (w waitsFor) Unwrap() error { return w.end }

// awaitOnce waits with one watch, until that is the wrong one, or fails. It returns the slots, or what it saw
// last.
func (p *participant) awaitOnce(ctx context.Context, v *view) (slots []int, fence int64, last *view, err error) {
	if err := p.pauseWhileStopped(ctx); err != nil {
		return nil, 0, v, err
	}
	if v, err = p.ensurePlace(ctx, v); err != nil {
		return nil, 0, v, err
	}
	if slots, fence, err = p.settleLate(ctx, v); slots != nil || err != nil {
		return slots, fence, v, err
	}
	near := v.isNear()
	if err := p.ensureHolder(ctx, v); err != nil {
		return nil, 0, v, err
	}
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	events, err := p.watch(watching, v)
	if err != nil {
		return nil, 0, v, err
	}
	if events == nil {
		v, err = p.lookAgain(ctx, v)
		return nil, 0, v, err
	}
	interval := nearInterval
	if !near {
		interval = farInterval
	}
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		if v, err = p.lookAgain(ctx, v); err != nil || v.isNear() != near {
			return nil, 0, v, err
		}
		next := time.After(interval)
		for isDue := false; !isDue; {
			if near {
				slots, fence, v, err = p.tryTake(ctx, v)
			}
			if slots != nil || err != nil || v.own != p.joined || v.isNear() != near || p.isStopped() {
				return slots, fence, v, err
			}
			var retry <-chan time.Time
			if near && v.lacks(p.place) <= 0 { // something else holds it
				retry = p.retry(v)
			}
			select {
			case answer, ok := <-events:
				switch {
				case !ok || answer.Err() != nil:
					return nil, 0, v, nil
				case !near: // the outpost has gone: as far as it knows, it is near
					v.before = v.before[:min(len(v.before), v.breadth())]
					return nil, 0, v, nil
				}
				if err := p.apply(v, answer.Events, p.key()); err != nil {
					return nil, 0, v, err
				}
				if err := p.checkWeight(v.record, p.place.Weight); err != nil {
					return nil, 0, v, err
				}
			case <-p.waiter.Gone():
				return nil, 0, v, nil
			case <-retry:
			case <-poll.C:
			case <-next:
				isDue = true
			case <-ctx.Done():
				return nil, 0, v, ctx.Err()
			}
		}
	}
}

// watch watches what the participant has to know. It returns nil if that is not what the view says any more: the
// line before a far waiter has become short, or its outpost has gone.
func (p *participant) watch(ctx context.Context, v *view) (clientv3.WatchChan, error) {
	if v.isNear() {
		events, err := p.store.Watch(ctx, p.space.All(), clientv3.WithRange(p.key()+"\x00"))
		return events, p.explain(err)
	}
	key, err := p.outpost(ctx, v.breadth())
	if key == "" || err != nil {
		return nil, err
	}
	events, err := p.store.Watch(ctx, key, clientv3.WithFilterPut())
	if err != nil {
		return nil, p.explain(err)
	}
	if exists, err := p.exists(ctx, key); !exists || err != nil {
		return nil, err
	}
	return events, nil
}

// lookAgain looks at the pool in which the participant stands in line.
func (p *participant) lookAgain(ctx context.Context, v *view) (*view, error) {
	now, err := p.look(ctx, p.key())
	switch {
	case isNotExist(err):
		return v, p.fail(pool.ErrDestroyed, nil)
	case err != nil:
		return v, err
	case now.made != v.made:
		return v, p.fail(pool.ErrDestroyed, nil)
	}
	return now, p.checkWeight(now.record, p.place.Weight)
}

// ensurePlace joins the line if the participant does not stand there, or not any more.
func (p *participant) ensurePlace(ctx context.Context, v *view) (*view, error) {
	if p.waiter != nil && !p.waiter.IsGone() && v.own != 0 && v.own == p.joined {
		return v, nil
	}
	if p.waiter == nil || p.waiter.IsGone() {
		var err error
		if p.waiter, err = p.store.Grant(ctx, waiterLease); err != nil {
			return v, p.explain(err)
		}
	}
	now, err := p.join(ctx, v.made)
	if isNoLease(err) { // it ran out in the meantime
		p.waiter.Abandon()
		p.waiter = nil
		return p.ensurePlace(ctx, v)
	}
	if err != nil {
		return v, err
	}
	return now, nil
}

// ensureHolder sees to it that there is a lease for the slots. It is renewed while the participant waits, which
// costs etcd less than another lease would. One that could not be renewed may soon run out, and the command would be
// ended as soon as it has begun.
func (p *participant) ensureHolder(ctx context.Context, v *view) error {
	isThere := p.holder != nil && !p.holder.IsGone() && p.holder.Asked == v.record.Lease
	if !isThere || p.holder.Why() != nil && p.uncertain == 0 {
		return p.grantHolder(ctx, v.record.Lease)
	}
	return nil
}

// pauseWhileStopped leaves the line while poolrun is stopped, so that it keeps nobody waiting. Its place
// is in the name of its key.
func (p *participant) pauseWhileStopped(ctx context.Context) error {
	if !p.isStopped() {
		return nil
	}
	if p.waiter != nil {
		p.waiter.Abandon()
		if err := p.waiter.Revoke(ctx); err != nil {
			return p.explain(err)
		}
		p.waiter = nil
	}
	for p.isStopped() {
		sleep(ctx, pollInterval/4)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// tryTake takes slots if they are there and nothing else holds the participant. It returns what it saw
// last.
func (p *participant) tryTake(ctx context.Context, v *view) (slots []int, fence int64, last *view, err error) {
	for v.lacks(p.place) <= 0 && !v.isBarred() && v.own == p.joined && v.isNear() {
		unmet := p.unmet(v)
		if err := p.note(ctx, unmet); err != nil || unmet != "" {
			return nil, 0, v, err
		}
		if err := p.ensureHolder(ctx, v); err != nil { // it may have got old since
			return nil, 0, v, err
		}
		if err := p.grantPause(ctx, v); err != nil {
			return nil, 0, v, err
		}
		var now *view
		slots, fence, now, err = p.take(ctx, v)
		switch {
		case slots != nil && err == nil:
			return slots, fence, v, nil
		case store.Silent(err):
			if slots, fence, err = p.settle(ctx); slots != nil || err != nil {
				return slots, fence, v, err
			}
			return nil, 0, v, ctx.Err()
		case isNoLease(err): // it ran out in the meantime
			return nil, 0, v, p.grantHolder(ctx, v.record.Lease)
		case err != nil:
			return nil, 0, v, p.explain(err)
		case now.made != v.made:
			return nil, 0, v, p.fail(pool.ErrDestroyed, nil)
		}
		v = now
		if v.drained && p.joined == 0 {
			return nil, 0, v, p.fail(pool.ErrDraining, nil)
		}
	}
	return nil, 0, v, nil
}
