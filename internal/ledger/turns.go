package ledger

// Turns: the order in which the waiters are served. It is the order of the line, but for two kinds of
// waiters that others pass: one that was set aside, because it does not move, and one that is held back.
//
// A long-lived participant, such as a build, gives no slot back before it ends. If such participants
// held all slots, everybody else would have to wait until one of them ends. So a long-lived waiter is
// held back while, with its slots, no slot would be left that no long-lived participant holds. If none
// holds any, it is not held back: it could wait for ever. Long-lived waiters do not pass each other.
//
// All of this follows from the participants' states and the size. So every change of these passes the
// turn on as any other does (PassOn), and a crash cannot leave it wrong.

// IsHeldBack reports whether a long-lived participant that asks for so many slots cannot have them yet,
// even if they are free.
func (l *Ledger) IsHeldBack(weight int) bool { return l.leavesNone(l.LongHeld(), weight) }

func (l *Ledger) leavesNone(longHeld, weight int) bool {
	return longHeld > 0 && longHeld+weight >= l.Size()
}

// LongHeld is how many slots long-lived participants hold.
func (l *Ledger) LongHeld() (n int) {
	for i, left := 0, l.InUse(); left > 0 && i < MaxSlots; i++ {
		r := l.Holder(i)
		if r == 0 {
			continue
		}
		left--
		if rec, err := l.At(r); err == nil && rec.LongLived.Load() != 0 {
			n++
		}
	}
	return n
}

// Turns is a walk along the line in the order of turns, but with those that were set aside in their
// places. It is used like a Walk.
type Turns struct {
	Walk
	HeldBack bool // this waiter is held back, and so are all that follow

	longHeld    int // slots, -1 if they were not counted yet
	anyHeldBack bool
	isBlocked   bool // a long-lived waiter that is held back was passed
}

// Turns begins a walk in the order of turns.
func (l *Ledger) Turns() Turns { return Turns{Walk: l.Line(), longHeld: -1} }

// Next goes to the next waiter. It reports false behind the last one, and at damage.
func (t *Turns) Next() bool {
	for {
		for t.Walk.Next() {
			heldBack := t.isHeldBack()
			t.anyHeldBack = t.anyHeldBack || heldBack
			if heldBack == t.HeldBack {
				return true
			}
		}
		if t.Err != nil || t.HeldBack || !t.anyHeldBack {
			return false
		}
		t.Walk, t.HeldBack, t.isBlocked = t.ledger.Line(), true, false // once more, for the others
	}
}

// IsHeldBackInLine reports whether a waiter is held back.
func (l *Ledger) IsHeldBackInLine(r Ref) (bool, error) {
	turns := l.Turns()
	for turns.Next() {
		if turns.Ref == r {
			return turns.HeldBack, nil
		}
	}
	return false, turns.Err
}

// isHeldBack reports whether the waiter that the walk has reached is held back.
func (t *Turns) isHeldBack() bool {
	if t.LongLived.Load() == 0 {
		return false
	}
	if t.longHeld < 0 {
		t.longHeld = t.ledger.LongHeld()
	}
	heldBack := t.isBlocked || t.ledger.leavesNone(t.longHeld, int(t.Weight.Load()))
	if heldBack && t.Aside.Load() == 0 {
		t.isBlocked = true
	}
	return heldBack
}

// First returns the first in line, 0 for nobody: the waiter that has the first turn and is not set
// aside, or, if all are, the one that has the first turn.
func (l *Ledger) First() (r Ref, rec *Participant, err error) {
	turns := l.Turns()
	for turns.Next() {
		if r == 0 || turns.Aside.Load() == 0 {
			r, rec = turns.Ref, turns.Participant
		}
		if rec.Aside.Load() == 0 {
			break
		}
	}
	return r, rec, turns.Err
}

// IsNext reports whether a newcomer of this rank would have the first turn.
func (l *Ledger) IsNext(rank int, longLived bool) (bool, error) {
	turns := l.Turns()
	walk := &turns.Walk // in the order of the line, and so of ranks
	for walk.Next() && walk.Rank() <= rank {
		if walk.Aside.Load() == 0 && (longLived || !turns.isHeldBack()) {
			return false, nil
		}
	}
	return true, walk.Err
}
