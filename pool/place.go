package pool

import (
	"context"
	"errors"
	"time"

	"github.com/poolrun/poolrun/internal/ledger"
)

// A place is a place in line, and what its owner does there.
//
// Only the first in line stands at the gate: it sleeps on the semaphore's value, and takes nothing
// until it is awake and has the ledger lock. All others sleep until they are poked because they
// have become first (sleep.go).
//
// A wake-up can get lost with a process that dies after it was told and before it has told the
// next. A first in line can die or be stopped. So every sleeper watches the gate (doze_linux.go),
// and one that finds it deserted steps in (stepIn).
type place struct {
	holding
	pool    *Pool
	request request
	came    int64 // by the ledger's clock, like the other moments

	first  int64 // since when it is first in line, 0 if it is not
	watch  *watch
	called int64                 // when it called the roll of the places before it, 0 if it did not
	roll   map[ledger.Ref]uint64 // the tickets that it called then
	asleep sleepState
}

const (
	// How long the first in line sleeps at most.
	longestWatch = 10 * time.Second
	// How long a living process may take to answer a roll call, and how many processes are called
	// at once.
	answerLimit = 300 * time.Millisecond
	maxCalled   = 64
	// A sleep that only a wake-up ends.
	longSleep = 1000 * time.Hour
)

// wait waits for the slots. After an error the place is not in line any more.
func (pl *place) wait(ctx context.Context) (lease *Lease, err error) {
	ctx, cancel := pl.pool.untilClosed(ctx)
	defer cancel()
	defer func() { pl.watch.stop() }()
	for lease == nil && err == nil {
		unmet := pl.request.unmetCondition() // the caller's code
		err = pl.pool.use(func() (err error) {
			if lease, err = pl.lookAndSleep(ctx, unmet); err != nil {
				explained := pl.explainWait(err)
				pl.leaveLine(err)
				err = explained
			}
			return err
		})
	}
	return lease, err
}

// lookAndSleep takes the slots if it can, and otherwise sleeps until it has to look again.
func (pl *place) lookAndSleep(ctx context.Context, unmet string) (*Lease, error) {
	v, err := pl.look(ctx, unmet)
	if err != nil || v.lease != nil {
		return v.lease, err
	}
	if !v.first {
		pl.leaveGate()
	} else if reaped, err := pl.guardGate(ctx, &v); reaped > 0 || err != nil {
		return nil, err
	}
	return nil, pl.pool.sleep(ctx, pl, v)
}

// explainWait adds to the error of a deadline what the place waits for beside slots. It stands in line still.
func (pl *place) explainWait(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	unmet := pl.request.unmet
	if held, err := pl.pool.mem.IsHeldBackInLine(pl.id.r); held && err == nil {
		unmet = heldBack
	}
	if unmet == "" {
		return err
	}
	return &Error{pl.pool.name, ErrTooLate, waitsFor{unmet, err}}
}

// guardGate is what the first in line does before it sleeps at the gate: it sees to it that the
// deaths of holders are noticed, and decides how long it may sleep. It returns how many dead
// holders it has found itself.
func (pl *place) guardGate(ctx context.Context, v *view) (reaped int, err error) {
	p, now := pl.pool, pl.pool.mem.Clock.Now()
	if pl.first == 0 {
		pl.first = now
	}
	v.limit = min(v.limit, longestWatch)
	atGate := ledger.Ago(now, pl.first)
	if pl.watch == nil && atGate >= watchAfter {
		pl.watch = p.startWatch()
	}
	if pl.watch == nil {
		if reaped, _, err = p.reapHolders(ctx, 0); reaped > 0 || err != nil {
			return reaped, err
		}
		v.limit = min(v.limit, max(watchAfter/10, atGate), scanInterval)
	}
	// Slots that this one cannot use (it needs more, or the ledger's count forbids it) have woken
	// it all the same, and may be what a foreign program waits for.
	if v.value > 0 && p.mem.HasForeignSleeper() {
		p.mem.Gate.Wake(v.value)
	}
	return 0, nil
}

// leaveGate is for a place that was first in line and is not any more.
func (pl *place) leaveGate() {
	if pl.first == 0 {
		return
	}
	pl.pool.mem.Gate.Wake(1) // what woke it may have been meant for the one that is first now
	pl.watch.stop()
	pl.watch, pl.first = nil, 0
}

// A view is what a waiter finds when it looks under the ledger lock.
type view struct {
	lease *Lease // it has its slots
	first bool   // it is first in line, and
	value int    // the gate has only this

	poked uint32        // how often it has been poked
	limit time.Duration // how long it may sleep
}

// look blocks on the ledger lock until ctx is done. unmet is a condition that is not met, "" for none.
func (pl *place) look(ctx context.Context, unmet string) (v view, err error) {
	p, rec := pl.pool, pl.rec
	err = p.update(ctx, 0, func() error {
		if rec.State.Load() != ledger.StateWaiting || rec.Ticket.Load() != pl.id.ticket {
			return errNotOwn
		}
		if p.mem.Life.Load() != ledger.LifeAlive {
			return p.fail(ErrDestroyed)
		}
		if err := cause(ctx); err != nil {
			return err
		}
		if pl.request.whole { // the size may have changed
			rec.Weight.Store(uint32(p.weightOf(pl.request)))
		}
		weight, err := rec.Slots()
		if err == nil {
			err = p.checkWeight(weight)
		}
		if err != nil {
			return err
		}
		unmetNow := "" // as far as it matters: only the first in line waits for it
		defer func() { pl.waitFor(unmetNow) }()
		now := p.mem.Clock.Now()
		v.poked, v.limit = rec.Poked.Load(), longSleep
		rec.Seen.Store(now)
		if err := pl.backInLine(); err != nil {
			return err
		}
		first, _, err := p.mem.First()
		if err == nil && first != pl.id.r { // it looks, so it is not dead itself
			first, err = p.reapFirst()
		}
		if err == nil && first == 0 {
			err = ledger.ErrNoFirst
		}
		if err == nil && first != pl.id.r {
			first, err = pl.stepIn(now, &v)
		}
		if err == nil && first != pl.id.r && pl.request.longLived {
			err = pl.lookAtBuilds(weight, &v)
		}
		if first != pl.id.r || err != nil {
			return err
		}
		v.first, pl.called = true, 0
		p.mem.Attended.Store(now)
		v.value = p.mem.Gate.Value()
		if p.heldBack(pl.request, weight) != "" || !p.fits(weight) {
			return nil
		}
		if unmet != "" {
			unmetNow, v.limit = unmet, conditionInterval
			return nil
		}
		if left := p.mem.DelayLeft(now); left > 0 {
			unmetNow, v.limit = p.describeDelay(), left
			return nil
		}
		waited := ledger.Ago(now, pl.came)
		pl.slot, err = p.takeSlots(pl.holding, waited)
		if err == nil {
			v.lease, err = p.newLease(pl.holding, waited)
		} else if err == ErrBusy {
			return nil
		}
		return err
	})
	return v, err
}

// waitFor notes what the place waits for beside slots, "" for nothing.
func (pl *place) waitFor(text string) {
	if pl.request.unmet = text; string(pl.rec.ConditionText()) != text {
		pl.rec.SetCondition(text)
	}
}

// stepIn is what a waiter does if the first in line, which is not dead, does not attend to the
// gate: it sets aside the places before it that do not move. They keep their order, and are passed
// until they move.
//
// A process whose threads are all stopped does not move. Any other process may only be slow, which
// cannot be told from outside. So the roll of the places before this one is called, maxCalled
// processes at a time. A place does not move if it was called, has not looked within answerLimit,
// and has no runnable thread. If one answers, it will attend to the gate. If none does, the next
// are called. stepIn returns the first in line afterwards, 0 if the gate is attended to.
//
// A waiter that calls the roll attends to the gate meanwhile, so one of them does it at a time. If all
// did, the called would wait for the ledger lock for longer than they may take to answer.
func (pl *place) stepIn(now int64, v *view) (ledger.Ref, error) {
	p := pl.pool
	attended := p.mem.Attended.Load()
	if pl.called != attended { // nobody waits for an answer to this one's call
		pl.called = 0
	}
	if pl.called == 0 && !isOld(now, attended) {
		return 0, nil
	}
	v.limit = answerLimit
	if pl.called != 0 && ledger.Ago(now, pl.called) < answerLimit {
		return 0, nil
	}
	before, _, err := p.mem.First()
	if err != nil {
		return 0, err
	}
	roll, processes := map[ledger.Ref]uint64{}, map[ledger.Ref]bool{}
	answered := false
	walk := p.mem.Turns()
	for !answered && walk.Next() && walk.Ref != pl.id.r {
		r, ticket, bell := walk.Ref, walk.Ticket.Load(), walk.Bell.Load()
		wasCalled := pl.called != 0 && pl.roll[r] == ticket
		switch {
		case walk.Aside.Load() != 0:
		case p.isStopped(walk.Participant), wasCalled && walk.Seen.Load() < pl.called && !p.isRunnable(walk.Participant):
			walk.Aside.Store(1)
			p.mem.Poke(r) // for the moment at which it moves again
		case wasCalled:
			answered = true
		case processes[bell] || len(processes) < maxCalled:
			processes[bell] = true
			roll[r] = ticket
			p.mem.Poke(r)
		}
	}
	if walk.Err != nil {
		return 0, walk.Err
	}
	if err := p.mem.PassOn(before); err != nil {
		return 0, err
	}
	if pl.called, pl.roll = 0, nil; !answered {
		pl.called, pl.roll = now, roll
		p.mem.Attended.Store(now)
	}
	first, _, err := p.mem.First()
	return first, err
}

// lookAtBuilds is for a long-lived waiter that does not have the first turn. Another one before it that asks
// for more slots may be held back, and this one for no other reason. Nobody else looks at that one,
// since all others pass it. So this one does for it what stepIn does for those that have their turn
// before others, once a second.
func (pl *place) lookAtBuilds(weight int, v *view) error {
	p := pl.pool
	before, _, err := p.mem.First()
	if err != nil {
		return err
	}
	walk := p.mem.Line()
	for walk.Next() && walk.Ref != pl.id.r {
		other := walk.Participant
		if other.LongLived.Load() == 0 || other.Aside.Load() != 0 || int(other.Weight.Load()) <= weight {
			continue
		}
		v.limit = min(v.limit, conditionInterval)
		dead, err := p.isDead(other)
		if dead && err == nil {
			err = p.reap(walk.Ref, other)
		}
		switch {
		case err != nil:
			return err
		case dead:
		case p.isStopped(other):
			other.Aside.Store(1)
			p.mem.Poke(walk.Ref) // for the moment at which it moves again
		}
	}
	if walk.Err != nil {
		return walk.Err
	}
	return p.mem.PassOn(before)
}

// backInLine takes back that this place was set aside: it moves again.
func (pl *place) backInLine() error {
	if pl.rec.Aside.Load() == 0 {
		return nil
	}
	before, _, err := pl.pool.mem.First()
	if err != nil {
		return err
	}
	pl.rec.Aside.Store(0)
	pl.pool.mem.AnnounceArrival()
	return pl.pool.mem.PassOn(before)
}

// leaveLine leaves the line because of an error, and counts that.
func (pl *place) leaveLine(why error) error {
	counter := ledger.CountCancelled
	if errors.Is(why, context.DeadlineExceeded) {
		counter = ledger.CountTimedOut
	}
	return pl.pool.endParticipation(leaveLimit, pl.holding, ledger.OpLeave, counter)
}
