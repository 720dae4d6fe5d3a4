package ledger

import "fmt"

// A Fault is something in a ledger that does not fit. Two faults are equal if they say the same.
type Fault struct {
	format string
	a, b   int
}

func (f Fault) String() string { return fmt.Sprintf(f.format, f.a, f.b) }

// Inspect compares everything that is derived, and everything that is bounded, with the
// participants' records, and reports what does not fit. It follows nothing that it has not checked,
// and changes nothing.
func (l *Ledger) Inspect(report func(Fault)) {
	fault := func(format string, a, b int) { report(Fault{format, a, b}) }

	used := l.Used()
	if n := l.used.Load(); n > MaxParticipants {
		fault("%d records are marked as used, of %d", int(n), MaxParticipants)
	}
	var slots [MaxParticipants + 1]int // that each record holds
	for i := range l.holders {
		r := l.holders[i].Load()
		if r == 0 {
			continue
		}
		if r > used || l.participants[r-1].State.Load() != StateHeld {
			fault("slot %d is held by record %d, which holds nothing", i, int(r))
		} else {
			slots[r]++
		}
	}
	var count [numStates]int
	var lastTicket uint64
	inUse, sleepers, drainer := 0, 0, Ref(0)
	for r := Ref(1); r <= used; r++ {
		rec := &l.participants[r-1]
		s, weight, bell := rec.State.Load(), int(rec.Weight.Load()), rec.Bell.Load()
		if s >= numStates {
			fault("record %d is in state %d", int(r), int(s))
			continue
		}
		count[s]++
		if !isRecord(bell) {
			fault("record %d has bell %d", int(r), int(bell))
		}
		if s == StateFree {
			continue
		}
		lastTicket = max(lastTicket, rec.Ticket.Load())
		if weight < 1 || weight > MaxSlots {
			fault("record %d has weight %d", int(r), weight)
			continue
		}
		switch s {
		case StateWaiting:
			if bell == r {
				sleepers++
			}
		case StateHeld:
			inUse += weight
			if slots[r] != weight {
				fault("record %d holds %d slots, not as many as its weight", int(r), slots[r])
			}
		case StateDraining:
			drainer = r
		}
	}
	if n := l.Ticket.Load(); n < lastTicket {
		fault("the last ticket drawn is noted as %d, and a record has %d", int(n), int(lastTicket))
	}
	if n := int(l.inUse.Load()); n != inUse {
		fault("%d slots are noted as in use, and the holders have %d", n, inUse)
	}
	if r := l.drainer.Load(); r != drainer {
		fault("record %d is noted as draining the pool, and record %d is", int(r), int(drainer))
	}
	if n := l.countLine(used); n != count[StateWaiting] || n != int(l.waiting.Load()) {
		fault("the line is broken: it leads to %d of %d waiters", max(n, 0), count[StateWaiting])
	}
	if n := int(l.sleepers.Load()); n != sleepers {
		fault("%d processes are noted as asleep in line, and %d are", n, sleepers)
	}
	if n := l.countFree(used); n != count[StateFree] {
		fault("the list of free records is broken: it leads to %d of %d", max(n, 0), count[StateFree])
	}
}

// countLine follows the line and returns its length, or -1 if it is none.
func (l *Ledger) countLine(used Ref) int {
	n, previous := 0, Ref(0)
	walk := l.Line()
	for walk.Next() {
		r := walk.Ref
		if n++; r > used || walk.previous.Load() != previous || previous != 0 && !l.participants[previous-1].before(walk.Participant) {
			return -1
		}
		previous = r
	}
	if walk.Err != nil || l.last.Load() != previous {
		return -1
	}
	return n
}

// countFree follows the list of free records, likewise.
func (l *Ledger) countFree(used Ref) (n int) {
	for r := l.free.Load(); r != 0; r = l.participants[r-1].next.Load() {
		if n++; r > used || n > int(used) || l.participants[r-1].State.Load() != StateFree {
			return -1
		}
	}
	return n
}

// ClearUnreadable makes records free that make no sense, unless somebody has locked them, and
// corrects what bounds the others: bells, the last ticket, and the number of records.
func (l *Ledger) ClearUnreadable(isLocked func(*Participant) (bool, error)) error {
	if l.used.Load() > MaxParticipants {
		l.used.Store(MaxParticipants)
	}
	lastTicket := l.Ticket.Load()
	for r := Ref(1); r <= l.Used(); r++ {
		rec := &l.participants[r-1]
		s, weight := rec.State.Load(), rec.Weight.Load()
		if s >= numStates || s != StateFree && (weight < 1 || weight > MaxSlots) {
			locked, err := isLocked(rec)
			if err != nil {
				return err
			}
			if !locked {
				rec.State.Store(StateFree)
			}
		}
		if !isRecord(rec.Bell.Load()) {
			// Its process hears this bell if it has one sleeper, or finds out at its next look.
			rec.Bell.Store(r)
		}
		if rec.State.Load() != StateFree {
			lastTicket = max(lastTicket, rec.Ticket.Load())
		}
	}
	l.Ticket.Store(lastTicket)
	return nil
}
