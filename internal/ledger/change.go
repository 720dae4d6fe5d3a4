package ledger

import (
	"sync/atomic"

	"github.com/poolrun/poolrun/internal/crash"
	"github.com/poolrun/poolrun/internal/sem"
)

// Memory is all that a pool's processes share, as one of them sees it.
type Memory struct {
	*Ledger
	Gate  *sem.Sem
	Clock Clock
	Draft bool // the ledger is a copy that nobody shares: nobody is woken
}

// An intent is the note that the author of a change leaves in the ledger until the change is
// complete. If a process takes the ledger lock and finds an intent, its author has died on the way,
// and the intent says what it was about to do.
//
// The operation is written last and cleared first. So an intent that can be seen is complete.
type intent struct {
	op          atomic.Uint32
	participant atomic.Uint32 // a Ref, 0 if the change is the pool's own
	parity      atomic.Uint32 // the gate's, before its change
	counter     atomic.Uint32 // the Counter that goes up by one
	before      atomic.Uint64 // that counter's value before
	size        atomic.Uint32 // the pool's size after the change
	debt        atomic.Uint32 // the pool's debt after the change
}

// An Op is a change that a pool can go through: five of a participant, and one of the pool itself.
type Op = uint32

const (
	OpNone   Op = iota // no change is going on
	OpTake             // StateFree or StateWaiting -> StateHeld
	OpGive             // StateHeld -> StateFree
	OpJoin             // StateFree -> StateWaiting
	OpLeave            // StateWaiting or StateDraining -> StateFree
	OpDrain            // StateFree -> StateDraining
	OpResize           // another size, or less debt
	numOps
)

// What each operation makes of the participant, and whether it changes the gate.
var ops = [numOps]struct {
	to          State
	changesGate bool
}{
	OpTake:   {StateHeld, true},
	OpGive:   {StateFree, true},
	OpJoin:   {StateWaiting, false},
	OpLeave:  {StateFree, false},
	OpDrain:  {StateDraining, false},
	OpResize: {StateFree, true},
}

// Tokens says what a change does to the numbers. Always, except for what foreign programs have
// taken or posted, value + in use = size + debt. A pool that shrinks below what is in use owes the
// difference, and pays it with slots that are given back.
type Tokens struct {
	Gate       int // added to the semaphore's value
	Size, Debt int // the pool's, afterwards
}

// Change takes participant r through an operation and counts it. If the gate does not have what the
// operation needs, it changes nothing and returns sem.ErrWouldBlock.
func (m *Memory) Change(op Op, r Ref, c Counter) error {
	rec, err := m.At(r)
	if err != nil {
		return err
	}
	weight, err := rec.Slots()
	if err != nil {
		return err
	}
	after := Tokens{Size: m.Size(), Debt: m.Debt()}
	switch op {
	case OpTake:
		after.Gate = -weight
	case OpGive:
		paid := min(after.Debt, weight)
		after.Gate, after.Debt = weight-paid, after.Debt-paid
	}
	err = m.perform(op, r, rec, c, after)
	if op == OpGive && err == nil {
		m.Holds.Observe(Ago(m.Clock.Now(), rec.Acquired.Load()))
	}
	return err
}

// Resize makes the pool's numbers what after says.
func (m *Memory) Resize(after Tokens) error { return m.perform(OpResize, 0, nil, CountNothing, after) }

// perform is the only function that changes a participant's state, the size, the debt or the gate.
// All other fields of the record are complete before it is called.
//
// If the process is killed
//   - before the intent is written: nothing has happened;
//   - after that, and before the gate has changed: the parity shows it. The next process that
//     takes the ledger lock clears the intent, and nothing has happened;
//   - after the gate has changed (or after the intent is written, if the operation does not
//     touch the gate): the next process completes the change. It sets state, counter, size
//     and debt to what the intent says, which can be done twice, rebuilds everything that is
//     derived from the states, and wakes everybody who might be waiting for the change.
//
// That leaves a participant in line or with slots whose claim nobody holds: a dead one, which is
// reaped like any other. Damage that is found on the way leaves the intent in place, with the same
// consequence.
func (m *Memory) perform(op Op, r Ref, rec *Participant, c Counter, after Tokens) error {
	first, _, err := m.First()
	if err != nil {
		return err
	}
	from, isLongLived := StateFree, false
	if rec != nil {
		from, isLongLived = rec.State.Load(), rec.LongLived.Load() != 0
	}
	m.announce(op, r, c, after)
	in := &m.intent
	if ops[op].changesGate {
		err := m.Gate.Add(after.Gate)
		if err == sem.ErrOverflow {
			// Another program has spoilt the semaphore. Nobody may keep a slot for that: what does
			// not fit above the maximum is dropped, and repair will balance it.
			err = m.Gate.Add(0)
		}
		if err != nil {
			in.op.Store(OpNone)
			return err
		}
		crash.Point("gate changed")
	}
	m.settle(op, rec)
	if rec != nil {
		if err := m.exit(r, rec, from); err != nil {
			return err
		}
		crash.Point("out of the old place")
		if err := m.enter(r, rec, ops[op].to); err != nil {
			return err
		}
		crash.Point("in the new place")
	}
	if after.Gate > 0 && m.anybodyAtGate() {
		m.Gate.Wake(after.Gate)
		crash.Point("gate woken")
	}
	if err := m.PassOn(first); err != nil {
		return err
	}
	crash.Point("passed on")
	if op == OpJoin || op == OpResize || isLongLived { // another may not be held back any more
		m.AnnounceArrival()
		crash.Point("arrival announced")
	}
	in.op.Store(OpNone)
	crash.Point("intent cleared")
	return nil
}

// announce writes an intent.
func (m *Memory) announce(op Op, r Ref, c Counter, after Tokens) {
	in := &m.intent
	in.participant.Store(r)
	in.parity.Store(m.Gate.Parity())
	in.counter.Store(c)
	in.before.Store(m.Count(c))
	in.size.Store(uint32(after.Size))
	in.debt.Store(uint32(after.Debt))
	crash.Point("intent filled in")
	in.op.Store(op)
	crash.Point("intent written")
}

// settle writes what cannot be derived. It may be repeated.
func (m *Memory) settle(op Op, rec *Participant) {
	if rec != nil {
		rec.State.Store(ops[op].to)
		crash.Point("state written")
	}
	in := &m.intent
	if c := in.counter.Load(); c < numCounters {
		m.counters[c].Store(in.before.Load() + 1)
		crash.Point("counter written")
	}
	m.size.Store(in.size.Load())
	m.debt.Store(in.debt.Load())
	crash.Point("size written")
}

// HasIntent reports whether a change was cut off by the death of its author.
func (l *Ledger) HasIntent() bool { return l.intent.op.Load() != OpNone }

// makesSense reports whether perform can have written the intent, with this operation and
// participant.
func (in *intent) makesSense(op Op, r Ref) bool {
	return op < numOps && (isRecord(r) || r == 0 && op == OpResize) &&
		in.size.Load() <= MaxSlots && in.debt.Load() <= MaxSlots
}

// Mend completes or undoes a change that was cut off by the death of its author, if there is one.
// It returns the participant that the change was about, most likely the author's own. Mend can
// itself be killed anywhere: the intent stays until all is done, and all of it may be repeated.
func (m *Memory) Mend() (r Ref, err error) {
	in := &m.intent
	op := in.op.Load()
	if op == OpNone {
		return 0, nil
	}
	r = in.participant.Load()
	if !in.makesSense(op, r) {
		return 0, errIntent
	}
	outcome := CountRolledForward
	if ops[op].changesGate && in.parity.Load() == m.Gate.Parity() {
		outcome = CountRolledBack
	}
	if outcome == CountRolledForward {
		rec, _ := m.At(r) // nil if the change is the pool's own
		m.settle(op, rec)
	}
	if err := m.Rebuild(); err != nil {
		return 0, err
	}
	crash.Point("rebuilt")
	if err := m.WakeAll(); err != nil {
		return 0, err
	}
	crash.Point("all woken")
	in.op.Store(OpNone)
	m.CountOne(outcome)
	return r, m.Check()
}

// AnnounceRebuild makes the next Mend rebuild everything that is derived, and do nothing else,
// unless there is an intent already that makes sense: its Mend will rebuild too. So the rebuilding
// can be killed anywhere, and the next process does it.
func (m *Memory) AnnounceRebuild() {
	if m.HasIntent() && !m.HasSenselessIntent() {
		return
	}
	m.intent.op.Store(OpNone)
	m.announce(OpResize, 0, CountNothing, Tokens{Size: m.Size(), Debt: m.Debt()})
}

// HasSenselessIntent reports whether an intent is there that no change can have written.
func (l *Ledger) HasSenselessIntent() bool {
	in := &l.intent
	return l.HasIntent() && !in.makesSense(in.op.Load(), in.participant.Load())
}
