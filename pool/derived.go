package pool

import "slices"

// What the ledger holds beside the participants' records says nothing that the
// records do not say: the line, the list of free records, who holds which slot,
// how many slots are in use, who drains. A change keeps it up to date with one
// exit and one enter; rebuild makes it anew with an enter for each record.

// enter adds a participant to all that is derived from being in this state.
func (l *ledger) enter(r ref, s state) {
	switch s {
	case free:
		l.at(r).next.Store(l.free.Load())
		l.free.Store(r)
	case waiting:
		l.link(r)
	case held:
		l.assign(r, int(l.at(r).weight.Load()))
	case draining:
		l.drainer.Store(r)
	}
}

// exit takes a participant out of all that is derived from being in this state.
func (l *ledger) exit(r ref, s state) {
	switch s {
	case free:
		l.popFree(r)
	case waiting:
		l.unlink(r)
	case held:
		l.unassign(r)
	case draining:
		l.drainer.Store(0)
	}
}

// peekFree returns the record that the next participant gets, 0 for none.
func (l *ledger) peekFree() ref {
	if r := l.free.Load(); r != 0 {
		if l.at(r).state.Load() != free {
			panic(damaged("record %d is listed as free and is not", r))
		}
		return r
	}
	if used := l.used.Load(); used < MaxParticipants {
		return used + 1
	}
	return 0
}

func (l *ledger) popFree(r ref) {
	if l.free.Load() == r {
		l.free.Store(l.at(r).next.Load())
	} else {
		l.used.Store(r)
	}
}

// rebuild makes all that is derived anew. Those who hold slots keep the slots
// they have.
func (p *Pool) rebuild() error {
	l := p.ledger
	used := l.used.Load()
	if used > MaxParticipants {
		return damaged("the ledger tells of %d records", used)
	}
	// A crash can come between the state of a new record and the mark of use.
	if used < MaxParticipants && l.participants[used].state.Load() != free {
		used++
		l.used.Store(used)
	}

	l.free.Store(0)
	l.first.Store(0)
	l.last.Store(0)
	l.waiting.Store(0)
	l.sleepers.Store(0)
	l.drainer.Store(0)
	l.inUse.Store(0)
	kept := l.keepSlots()

	var line []ref
	for r := ref(used); r > 0; r-- { // downwards: the lowest free record comes first
		rec := l.at(r)
		switch s := rec.state.Load(); s {
		case waiting:
			line = append(line, r)
		case held:
			weight := int(rec.weight.Load())
			if weight > MaxSlots {
				return damaged("participant %d has weight %d", r, weight)
			}
			l.inUse.Add(uint32(kept[r]))
			l.assign(r, weight-kept[r])
		case free, draining:
			l.enter(r, s)
		default:
			return damaged("participant %d is in state %d", r, s)
		}
	}
	slices.SortFunc(line, l.compare)
	for _, r := range line {
		l.link(r)
	}
	return nil
}
