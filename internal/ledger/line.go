package ledger

// The line: the participants that wait, linked in the order of (priority, whether they extend a lease,
// ticket).

// before reports whether a stands before b. No two tickets are the same.
func (a *Participant) before(b *Participant) bool {
	pa, pb := a.Rank(), b.Rank()
	return pa < pb || pa == pb && a.Ticket.Load() < b.Ticket.Load()
}

// Rank is the participant's place among those that have come earlier or later: a lower number goes first.
func (a *Participant) Rank() int { return RankOf(int(a.Priority.Load()), a.Extends.Load() != 0) }

// RankOf is the rank of a participant with this priority. Among equals, one that has no slots yet goes
// before one that extends a lease.
func RankOf(priority int, extends bool) int {
	if extends {
		return 2*priority + 1
	}
	return 2 * priority
}

// link puts participant r into its place. It searches from the tail, where most newcomers belong.
func (l *Ledger) link(r Ref, rec *Participant) error {
	after, next := l.last.Load(), Ref(0)
	for steps := 0; after != 0; steps++ {
		other, err := l.At(after)
		if err != nil {
			return err
		}
		if other.before(rec) {
			break
		}
		if steps > MaxParticipants {
			return errLine
		}
		after, next = other.previous.Load(), after
	}
	if err := l.join(after, r); err != nil {
		return err
	}
	if err := l.join(r, next); err != nil {
		return err
	}
	l.waiting.Add(1)
	if rec.hasSleeper(r) {
		l.pace.Store(max(l.pace.Load(), l.sleepers.Add(1)))
	}
	return nil
}

// unlink takes participant r out of the line.
func (l *Ledger) unlink(r Ref, rec *Participant) error {
	if err := l.join(rec.previous.Load(), rec.next.Load()); err != nil {
		return err
	}
	l.waiting.Add(^uint32(0))
	if rec.hasSleeper(r) {
		l.sleepers.Add(^uint32(0))
	}
	return nil
}

// join makes a and b neighbours. Nobody (0) stands before the head and behind the tail.
func (l *Ledger) join(a, b Ref) error {
	next, previous := &l.first, &l.last
	if a != 0 {
		rec, err := l.At(a)
		if err != nil {
			return err
		}
		next = &rec.next
	}
	if b != 0 {
		rec, err := l.At(b)
		if err != nil {
			return err
		}
		previous = &rec.previous
	}
	next.Store(b)
	previous.Store(a)
	return nil
}

// hasSleeper reports whether this waiter counts as the sleeper of its process. A process has one
// sleeper, however many of its goroutines wait: the waiter whose own Word is the bell.
func (rec *Participant) hasSleeper(r Ref) bool { return rec.Bell.Load() == r }

// A Walk goes along the line, from head to tail:
//
//	walk := l.Line()
//	for walk.Next() { ... walk.Ref, walk.Participant ... }
//	return walk.Err
type Walk struct {
	Ref Ref
	*Participant
	Err error

	ledger *Ledger
	next   Ref
	steps  int
}

// Line begins a walk along the line.
func (l *Ledger) Line() Walk { return Walk{ledger: l, next: l.first.Load()} }

// Next goes to the next waiter. It reports false at the end of the line, and at damage.
func (w *Walk) Next() bool {
	if w.next == 0 || w.Err != nil {
		return false
	}
	w.Ref = w.next
	if w.Participant, w.Err = w.ledger.At(w.Ref); w.Err != nil {
		return false
	}
	if w.steps++; w.steps > MaxParticipants || w.State.Load() != StateWaiting {
		w.Err = errLine
		return false
	}
	w.next = w.Participant.next.Load()
	return true
}

// IsEmpty reports whether nobody holds a slot and nobody waits.
func (l *Ledger) IsEmpty() bool { return l.inUse.Load() == 0 && l.first.Load() == 0 }

// HasLine reports whether anybody waits.
func (l *Ledger) HasLine() bool { return l.first.Load() != 0 }
