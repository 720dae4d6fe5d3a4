package pool

import (
	"errors"
	"sync/atomic"

	"github.com/poolrun/poolrun/gate"
)

// An intent is the note that the author of a change leaves in the ledger while
// it is at it. Whoever takes the ledger lock and finds one knows that its author
// died on the way, and what it was about to do.
//
// The operation is written last and cleared first, so an intent that can be seen
// is complete.
type intent struct {
	op          atomic.Uint32
	participant atomic.Uint32 // a ref, 0 where the change is the pool's own
	parity      atomic.Uint32 // the gate's, before the swap
	counter     atomic.Uint32 // the counter that goes up by one
	before      atomic.Uint64 // that counter's value before
	size        atomic.Uint32 // the pool's size after the change
	debt        atomic.Uint32 // and its debt
}

// An op is one of the changes that a pool can go through: five of a participant,
// and one of the pool itself.
type op = uint32

const (
	idle   op = iota // no change is going on
	take             // free or waiting -> held
	give             // held -> free
	join             // free -> waiting
	leave            // waiting or draining -> free
	drain            // free -> draining
	resize           // another size, or less debt
	numOps
)

// What each op makes of the participant, and whether it swaps the gate.
var ops = [numOps]struct {
	to    state
	swaps bool
}{
	take:   {held, true},
	give:   {free, true},
	join:   {waiting, false},
	leave:  {free, false},
	drain:  {draining, false},
	resize: {0, true},
}

// tokens is what a change does to the numbers. Always, but for what foreign
// programs took or posted: value + in use = size + debt. A pool owes a debt after
// it has shrunk below what is in use; it pays with what is given back.
type tokens struct {
	gate       int // added to the semaphore's value
	size, debt int // the pool's, afterwards
}

// change takes participant r through op, and counts it.
//
// Where the gate does not have what is asked for, it does nothing and returns
// gate.ErrWouldBlock.
func (p *Pool) change(op op, r ref, c counter) error {
	l := p.ledger
	weight := int(l.must(r).weight.Load())
	if weight > MaxSlots {
		panic(damaged("participant %d has weight %d", r, weight))
	}
	after := tokens{size: int(l.size.Load()), debt: int(l.debt.Load())}
	switch op {
	case take:
		after.gate = -weight
	case give:
		paid := min(after.debt, weight)
		after.gate, after.debt = weight-paid, after.debt-paid
	}
	return p.perform(op, r, c, after)
}

// perform is the only function that changes a participant's state, the size, or
// the gate. It runs under the ledger lock, on a record whose other fields are
// complete.
//
// If the process is killed,
//   - before the intent is written: nothing has happened;
//   - after it, before the swap: the parity shows it, and the next one who takes
//     the ledger lock clears the intent: nothing has happened;
//   - after the swap (or, where the op does not touch the gate, after the
//     intent): the next one completes the change. State, counter, size and debt
//     are set to what the intent says, which can be done twice; all that is
//     derived from the states is rebuilt; all who might be waiting for it are
//     woken.
//
// What is left then is a participant without a claim, in line or with slots: a
// dead one, which is reaped like any other.
func (p *Pool) perform(op op, r ref, c counter, after tokens) error {
	l := p.ledger
	first, from := p.first(), free
	if r != 0 {
		from = l.must(r).state.Load()
	}
	parity, err := p.gate.Parity()
	if err != nil {
		return err
	}
	in := &l.intent
	in.participant.Store(r)
	in.parity.Store(parity)
	in.counter.Store(c)
	in.before.Store(l.counterValue(c))
	in.size.Store(uint32(after.size))
	in.debt.Store(uint32(after.debt))
	step("intent filled in")
	in.op.Store(op)
	step("intent written")

	if ops[op].swaps {
		err := p.gate.Swap(after.gate)
		if errors.Is(err, gate.ErrOverflow) {
			// Somebody has spoilt the semaphore. What is given back is above its
			// maximum, and nobody is to keep a slot for that: repair will balance it.
			err = p.gate.Swap(0)
		}
		if err != nil {
			in.op.Store(idle)
			return err
		}
		step("gate swapped")
	}

	p.settle(op, r)
	if r != 0 {
		l.exit(r, from)
		step("out of the old place")
		l.enter(r, ops[op].to)
		step("in the new place")
	}
	if after.gate > 0 && p.anybodyAtGate() {
		p.gate.Wake(after.gate)
		step("gate woken")
	}
	p.turn(first)
	step("turn passed on")
	in.op.Store(idle)
	step("intent cleared")
	return nil
}

// settle writes what cannot be derived. It may be repeated.
func (p *Pool) settle(op op, r ref) {
	l, in := p.ledger, &p.ledger.intent
	if r != 0 {
		l.must(r).state.Store(ops[op].to)
		step("state written")
	}
	if c := in.counter.Load(); c < numCounters {
		l.counters[c].Store(in.before.Load() + 1)
		step("counter written")
	}
	l.size.Store(in.size.Load())
	l.debt.Store(in.debt.Load())
	step("size written")
}

// nothing is the counter of a change that none counts.
const nothing = numCounters

func (l *ledger) counterValue(c counter) uint64 {
	if c >= numCounters {
		return 0
	}
	return l.counters[c].Load()
}

// makesSense reports whether perform can have written the intent.
func (in *intent) makesSense() bool {
	op, whose := in.op.Load(), in.participant.Load()
	return op < numOps && whose <= MaxParticipants && (whose != 0 || op == resize) &&
		in.size.Load() <= MaxSlots && in.debt.Load() <= MaxSlots
}

// mend completes or undoes the change whose author died in it, if there is one, and
// returns whose change it was, which is most likely the author's own. It can itself be
// killed anywhere: the intent stays until all is done, and all of it may be repeated.
func (p *Pool) mend() (whose ref, err error) {
	in := &p.ledger.intent
	op := in.op.Load()
	if op == idle {
		return 0, nil
	}
	whose = in.participant.Load()
	if !in.makesSense() {
		return 0, damaged("the ledger has an intent of kind %d for participant %d, to %d slots and a debt of %d",
			op, whose, in.size.Load(), in.debt.Load())
	}
	parity, err := p.gate.Parity()
	if err != nil {
		return 0, err
	}
	outcome := rolledForward
	if ops[op].swaps && in.parity.Load() == parity {
		outcome = rolledBack
	}
	if outcome == rolledForward {
		p.settle(op, whose)
	}
	if err := p.rebuild(); err != nil {
		return 0, err
	}
	step("rebuilt")
	p.wakeAll()
	step("all woken")
	in.op.Store(idle)
	p.ledger.counters[outcome].Add(1)
	return whose, p.ledger.check()
}
