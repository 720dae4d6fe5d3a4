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
// on the word in their own record and are woken when they become first.
//
// A wake-up can get lost with a process that dies between being told and telling
// on. So nobody sleeps for longer than a heartbeat without having a look. The
// second in line looks once a second, and is told of its place by a first that
// has to wait; the hearts of all others beat slower, the longer the line is.
type turn struct {
	p       *Pool
	r       ref
	ticket  uint64
	came    time.Time
	first   time.Time // since when it is first in line, zero where it is not
	watch   *watch
	told    uint64 // ticket of the second in line whom it has told so
	suspect suspect
}

const (
	heartbeat = time.Second
	maxBeats  = 5 // a second, of all but the second in line
	// How often the first looks for dead holders whose end raises no event.
	scanInterval = 100 * time.Millisecond
	// How long a cancelled waiter tries to get the ledger lock to leave in form.
	leaveWithin = 100 * time.Millisecond
)

// A suspect is a first in line that does not move although the gate is open to
// it: it may be stopped.
type suspect struct {
	ticket uint64
	since  time.Time
}

// With the heartbeat before it is noticed, others pass within two seconds.
const stuckAfter = 600 * time.Millisecond

func (t *turn) wait(ctx context.Context, lease *Lease) error {
	defer func() { t.watch.stop() }()
	for {
		view, err := t.look(ctx, lease)
		if err != nil {
			t.giveUp(err)
			return err
		}
		switch {
		case view.served:
			return nil
		case view.first:
			t.p.gate.Sleep(ctx, view.value, t.guardGate(view.silent))
		default:
			t.leaveGate()
			t.p.sleepOnWord(ctx, t.r, view.word, view.beat)
		}
	}
}

// guardGate is what the first in line does before it sleeps at the gate: it sees to
// it that the deaths of holders are noticed, and says how long it may sleep.
func (t *turn) guardGate(silent bool) time.Duration {
	if t.first.IsZero() {
		t.first = time.Now()
	}
	if t.watch == nil {
		if since := time.Since(t.first); since < watchAfter {
			return max(watchAfter/10, since)
		}
		t.watch = t.p.startWatch()
	}
	if t.watch == nil || silent {
		return scanInterval
	}
	return heartbeat
}

// leaveGate is for one that is not first in line, if it was before.
func (t *turn) leaveGate() {
	if t.first.IsZero() {
		return
	}
	t.p.gate.Wake(1) // what woke it may have been meant for whoever is first now
	t.watch.stop()
	t.watch, t.first = nil, time.Time{}
}

// A view is what a waiter finds when it has a look under the ledger lock.
type view struct {
	served bool // its turn has come, it has its slots

	first  bool // it is first in line, and
	value  int  // the gate has only this, and
	silent bool // there are holders whose end raises no event

	word uint32        // the futex word of its record
	beat time.Duration // how long it may sleep on it
}

func (t *turn) look(ctx context.Context, lease *Lease) (v view, err error) {
	p, l := t.p, t.p.ledger
	err = p.locked(ctx, func() error {
		rec := l.must(t.r)
		if rec.state.Load() != waiting || rec.ticket.Load() != t.ticket {
			return errors.New("this process lost its place in line")
		}
		if l.life.Load() != alive {
			return p.fail(ErrDestroyed, nil)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		weight := int(rec.weight.Load())
		if p.tooHeavy(weight) {
			return p.fail(ErrTooHeavy, p.weightError(weight))
		}
		p.setAside(t.r, 0)
		first := p.first()
		if first != t.r { // who looks is not dead
			if err := p.reapFirst(); err != nil {
				return err
			}
			first = p.first()
		}
		if first != t.r {
			v.word, v.beat = rec.word.Load(), t.beat(first)
			t.suspectOf(first, &v)
			return nil
		}
		v.first = true
		t.tellSecond(rec.next.Load())
		if !p.fits(weight) {
			if v.silent, err = p.reapHolders(); err != nil {
				return err
			}
		}
		if v.value, err = p.gate.Value(); err != nil {
			return err
		}
		if p.fits(weight) {
			err = p.takeSlots(t.r, time.Since(t.came), lease)
			v.served = err == nil
			if errors.Is(err, ErrBusy) {
				return nil
			}
		}
		return err
	})
	return v, err
}

// tellSecond makes the second in line look, once, and so find its place, if this
// first has stood at the gate for a while.
func (t *turn) tellSecond(second ref) {
	rec := t.p.ledger.at(second)
	if rec == nil || t.first.IsZero() || time.Since(t.first) < watchAfter {
		return
	}
	if ticket := rec.ticket.Load(); ticket != t.told {
		t.told = ticket
		t.p.poke(second)
	}
}

// beat is how long one that is not first sleeps without a look.
func (t *turn) beat(first ref) time.Duration {
	l := t.p.ledger
	if l.must(first).next.Load() == t.r {
		return heartbeat
	}
	return max(heartbeat, time.Duration(l.waiting.Load())*time.Second/maxBeats)
}

// suspectOf keeps an eye on the first in line. If the gate is open to it and it
// has not moved for stuckAfter, nor is about to, it is set aside: it keeps its
// place, and is passed until it moves again.
func (t *turn) suspectOf(first ref, v *view) {
	p := t.p
	rec := p.ledger.must(first)
	ticket := rec.ticket.Load()
	switch {
	case !p.fits(int(rec.weight.Load())):
		t.suspect = suspect{}
		return
	case t.suspect.ticket != ticket:
		t.suspect = suspect{ticket, time.Now()}
	case time.Since(t.suspect.since) >= stuckAfter:
		if rec.pidNamespace.Load() != p.self.namespace || !isRunnable(rec.pid.Load()) {
			p.setAside(first, 1)
		}
	}
	v.beat = min(v.beat, stuckAfter/3)
}

// setAside lets others pass a waiter, or makes them stop passing it.
func (p *Pool) setAside(r ref, aside uint32) {
	if rec := p.ledger.must(r); rec.aside.Load() != aside {
		first := p.first()
		rec.aside.Store(aside)
		p.turn(first)
	}
}

// giveUp leaves the line. Where the ledger lock cannot be had, dropping the claim
// is enough: the record is then a dead one, and will be reaped as such.
func (t *turn) giveUp(why error) {
	p := t.p
	counter := cancelled
	if errors.Is(why, context.DeadlineExceeded) {
		counter = timedOut
	}
	p.depart(leaveWithin, t.r, t.ticket, leave, counter)
}
