package pool

import (
	"context"
	"errors"
	"time"
)

// A turn is a place in line, and what its owner does there.
//
// Only the first in line stands at the gate: it sleeps on the semaphore's value
// and takes nothing until it is awake and has the ledger lock. All others sleep
// until they are poked when they become first (sleep.go says where).
//
// A wake-up can get lost with a process that dies between being told and telling
// on, and a first in line can die or be stopped. So nobody sleeps without an eye on
// the gate: see doze; and whoever finds it deserted steps in: see stepIn.
type turn struct {
	p      *Pool
	r      ref
	ticket uint64
	came   int64 // see now
	first  int64 // since when it is first in line, 0 if it is not
	watch  *watch
	called int64          // when it called the roll of those before it, 0 if it did not
	roll   map[ref]uint64 // whom it called then, with their tickets
	bed    bed
}

const (
	// How often a first in line has a look without a reason.
	lookAnyway = 10 * time.Second
	// How long a cancelled waiter tries to get the ledger lock to leave in form.
	leaveWithin = 100 * time.Millisecond
	// How long one that is alive may take to answer a roll call, and how many processes are
	// called at once.
	answerWithin = 300 * time.Millisecond
	maxCalled    = 64
)

func (t *turn) wait(ctx context.Context, lease *Lease) error {
	defer func() { t.watch.stop() }()
	for {
		v, err := t.look(ctx, lease)
		if err == nil && v.served {
			return nil
		}
		reaped := 0
		if err == nil && v.first {
			reaped, err = t.guardGate(ctx, &v)
		} else {
			t.leaveGate()
		}
		if err == nil && reaped == 0 {
			err = t.p.sleep(ctx, t, v)
		}
		if err != nil {
			t.giveUp(err)
			return err
		}
	}
}

// guardGate is what the first in line does before it sleeps at the gate: it sees to
// it that the deaths of holders are noticed, and says how long it may sleep. It
// returns how many dead holders it has found itself.
func (t *turn) guardGate(ctx context.Context, v *view) (reaped int, err error) {
	p, now := t.p, t.p.now()
	if t.first == 0 {
		t.first = now
	}
	v.limit = lookAnyway
	if t.watch == nil && ago(now, t.first) >= watchAfter {
		t.watch = p.startWatch()
	}
	if t.watch == nil {
		if reaped, _, err = p.reapHolders(ctx); reaped > 0 || err != nil {
			return reaped, err
		}
		v.limit = min(max(watchAfter/10, ago(now, t.first)), scanInterval)
	}
	// What this one cannot use (it needs more, or the ledger's count says no) woke it
	// all the same, and may be what a foreign program waits for.
	if sleepers, err := p.gate.Sleepers(); err == nil && v.value > 0 && sleepers != 1 {
		p.gate.Wake(v.value)
	}
	return 0, nil
}

// leaveGate is for one that is not first in line, if it was before.
func (t *turn) leaveGate() {
	if t.first == 0 {
		return
	}
	t.p.gate.Wake(1) // what woke it may have been meant for whoever is first now
	t.watch.stop()
	t.watch, t.first = nil, 0
}

// A view is what a waiter finds when it has a look under the ledger lock.
type view struct {
	served bool // its turn has come, it has its slots
	first  bool // it is first in line, and
	value  int  // the gate has only this

	poked uint32        // how often it was poked so far
	limit time.Duration // how long it may sleep
}

func (t *turn) look(ctx context.Context, lease *Lease) (v view, err error) {
	p, l := t.p, t.p.ledger
	err = p.locked(ctx, func() error {
		rec := l.must(t.r)
		if rec.state.Load() != waiting || rec.ticket.Load() != t.ticket {
			return errNotThere
		}
		if l.life.Load() != alive {
			return p.fail(ErrDestroyed, nil)
		}
		if err := why(ctx); err != nil {
			return err
		}
		weight := int(rec.weight.Load())
		if p.tooHeavy(weight) {
			return p.fail(ErrTooHeavy, p.weightError(weight))
		}
		v.poked, v.limit = rec.poked.Load(), longSleep
		now := p.now()
		rec.seen.Store(now)
		p.backInLine(t.r)
		if p.first() != t.r { // who looks is not dead
			if err := p.reapFirst(); err != nil {
				return err
			}
		}
		switch first := p.first(); first {
		case t.r:
		case 0:
			panic(damaged("record %d waits in a line in which nobody is first", t.r))
		default:
			if t.stepIn(now, &v); p.first() != t.r {
				return nil
			}
		}
		v.first, t.called = true, 0
		l.attended.Store(now)
		if v.value, err = p.gate.Value(); err != nil {
			return err
		}
		if !p.fits(weight) {
			return nil
		}
		err = p.takeSlots(t.r, ago(now, t.came), lease)
		v.served = err == nil
		if errors.Is(err, ErrBusy) {
			return nil
		}
		return err
	})
	return v, err
}

// A sleep that something else has to end.
const longSleep = 1000 * time.Hour

// stepIn is what a waiter does if the first in line, which is not dead, does not
// attend to the gate: those before it that do not move are set aside. They keep their
// places, and are passed until they move.
//
// A process of which every thread is stopped does not move. Of any other, which may
// only be slow, one cannot be sure from outside. So the roll of those before this one
// is called, of maxCalled processes at a time: who was called and has not looked in
// answerWithin, and is not about to, does not move. If one answers, it will attend to the
// gate; if none does, the next are called.
func (t *turn) stepIn(now int64, v *view) {
	p, l := t.p, t.p.ledger
	if !isOld(now, l.attended.Load()) {
		t.called = 0
		return
	}
	v.limit = answerWithin
	if t.called != 0 && ago(now, t.called) < answerWithin {
		return
	}
	first := p.first()
	roll, processes := map[ref]uint64{}, map[ref]bool{}
	answered := false
	for r := range l.line {
		if r == t.r || answered {
			break
		}
		rec := l.at(r)
		ticket, bell := rec.ticket.Load(), rec.bell.Load()
		wasCalled := t.called != 0 && t.roll[r] == ticket
		switch {
		case rec.aside.Load() != 0:
		case p.isStopped(r), wasCalled && rec.seen.Load() < t.called && !p.isRunnable(r):
			rec.aside.Store(1)
			p.poke(r) // for the moment in which it moves again
		case wasCalled:
			answered = true
		case processes[bell] || len(processes) < maxCalled:
			processes[bell] = true
			roll[r] = ticket
			p.poke(r)
		}
	}
	if t.called, t.roll = now, roll; answered {
		t.called = 0
	}
	p.turn(first)
}

// backInLine makes others stop passing a waiter that was set aside: it moves again.
func (p *Pool) backInLine(r ref) {
	if rec := p.ledger.must(r); rec.aside.Load() != 0 {
		first := p.first()
		rec.aside.Store(0)
		p.turn(first)
	}
}

// giveUp leaves the line. Where the ledger lock cannot be had, dropping the claim
// is enough: the record is then a dead one, and will be reaped as such, and counted as
// it says itself.
func (t *turn) giveUp(why error) {
	counter := cancelled
	if errors.Is(why, context.DeadlineExceeded) {
		counter = timedOut
	}
	t.p.depart(leaveWithin, t.r, t.ticket, leave, counter)
}
