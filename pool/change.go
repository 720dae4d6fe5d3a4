package pool

import (
	"fmt"
	"sync/atomic"

	"github.com/poolrun/poolrun/internal/futex"
)

// An intent is the note that the author of a change leaves in the ledger while
// it is at it. Whoever takes the ledger lock and finds one knows that its author
// died on the way, and what it was about to do.
//
// The operation is written last and cleared first, so an intent that can be seen
// is complete.
type intent struct {
	op          atomic.Uint32
	participant atomic.Uint32 // a ref
	parity      atomic.Uint32 // the gate's, before the swap
	counter     atomic.Uint32 // the counter that goes up by one
	before      atomic.Uint64 // that counter's value before
}

// An op is one of the five changes that a participant can go through.
type op = uint32

const (
	idle  op = iota // no change is going on
	take            // free or waiting -> held
	give            // held -> free
	join            // free -> waiting
	leave           // waiting or draining -> free
	drain           // free -> draining
	numOps
)

// What each op does to the participant's state and, weight times, to the gate.
var ops = [numOps]struct {
	to   state
	gate int
}{
	take:  {held, -1},
	give:  {free, +1},
	join:  {waiting, 0},
	leave: {free, 0},
	drain: {draining, 0},
}

// change takes participant r through op, and counts it. It is the only function
// that changes a participant's state, and the only one that changes the gate.
// It runs under the ledger lock, on a record whose other fields are complete.
//
// If the process is killed,
//   - before the intent is written: nothing has happened;
//   - after it, before the swap: the parity shows it, and the next one who takes
//     the ledger lock clears the intent: nothing has happened;
//   - after the swap (or, where the op does not touch the gate, after the
//     intent): the next one completes the change. The state and the counter are
//     set to what the intent says, which can be done twice; all that is derived
//     from the states is rebuilt; all who might be waiting for it are woken.
//
// What is left then is a participant without a claim, in line or with slots: a
// dead one, which is reaped like any other.
//
// Where the gate does not have what is asked for, change does nothing and
// returns gate.ErrWouldBlock.
func (p *Pool) change(op op, r ref, c counter) error {
	l := p.ledger
	rec := l.at(r)
	weight := rec.weight.Load()
	if weight > MaxSlots {
		panic(damage{fmt.Errorf("participant %d has weight %d", r, weight)})
	}
	from, first := rec.state.Load(), p.first()

	parity, err := p.gate.Parity()
	if err != nil {
		return err
	}
	in := &l.intent
	in.participant.Store(r)
	in.parity.Store(parity)
	in.counter.Store(c)
	in.before.Store(l.counterValue(c))
	step("intent filled in")
	in.op.Store(op)
	step("intent written")

	if sign := ops[op].gate; sign != 0 {
		if err := p.gate.Swap(sign * int(weight)); err != nil {
			in.op.Store(idle)
			return err
		}
		step("gate swapped")
	}

	p.settle(op, r)
	l.exit(r, from)
	step("out of the old place")
	l.enter(r, ops[op].to)
	step("in the new place")
	if op == give {
		p.gate.Wake(int(weight))
		step("gate woken")
	}
	p.turn(first)
	step("turn passed on")
	in.op.Store(idle)
	step("intent cleared")
	return nil
}

// settle writes what cannot be derived: the state, and the counter. It may be
// repeated.
func (p *Pool) settle(op op, r ref) {
	in := &p.ledger.intent
	p.ledger.at(r).state.Store(ops[op].to)
	step("state written")
	if c := in.counter.Load(); c < numCounters {
		p.ledger.counters[c].Store(in.before.Load() + 1)
	}
	step("counter written")
}

// nothing is the counter of a change that none counts.
const nothing = numCounters

func (l *ledger) counterValue(c counter) uint64 {
	if c >= numCounters {
		return 0
	}
	return l.counters[c].Load()
}

// mend completes or undoes the change whose author died in it, if there is
// one. It can itself be killed anywhere: the intent stays until all is done, and
// all of it may be repeated.
func (p *Pool) mend() error {
	in := &p.ledger.intent
	op := in.op.Load()
	if op == idle {
		return nil
	}
	if op >= numOps {
		return fmt.Errorf("the ledger has an intent of kind %d", op)
	}
	parity, err := p.gate.Parity()
	if err != nil {
		return err
	}
	outcome := rolledForward
	if ops[op].gate != 0 && in.parity.Load() == parity {
		outcome = rolledBack
	}
	if outcome == rolledForward {
		p.settle(op, in.participant.Load())
	}
	if err := p.rebuild(); err != nil {
		return err
	}
	step("rebuilt")
	p.gate.Wake(futex.Everybody)
	p.poke(p.first())
	p.poke(p.ledger.drainer.Load())
	step("all woken")
	in.op.Store(idle)
	p.ledger.counters[outcome].Add(1)
	return nil
}
