package pool

import (
	"fmt"
	"slices"
)

// inspect compares all that is derived, and all that is bounded, with the
// participants' records, and says what does not fit. It follows nothing that it
// has not checked, and changes nothing.
func (l *ledger) inspect() (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }

	used := l.used.Load()
	if used > MaxParticipants {
		fault("%d records are said to be used, of %d", used, MaxParticipants)
		used = MaxParticipants
	}
	var count [draining + 1]int
	var tickets uint64
	drainer := ref(0)
	inUse, sleepers := 0, 0
	for r := ref(1); r <= used; r++ {
		rec := l.at(r)
		s, weight := rec.state.Load(), int(rec.weight.Load())
		if s > draining {
			fault("record %d is in state %d", r, s)
			continue
		}
		count[s]++
		if bell := rec.bell.Load(); !isRecord(bell) {
			fault("record %d has bell %d", r, bell)
		} else if s == waiting && bell == r {
			sleepers++
		}
		if s == free {
			continue
		}
		tickets = max(tickets, rec.ticket.Load())
		if weight < 1 || weight > MaxSlots {
			fault("record %d has weight %d", r, weight)
			continue
		}
		switch s {
		case held:
			inUse += weight
			if n := len(l.slotsOf(r)); n != weight {
				fault("record %d holds %d slots instead of %d", r, n, weight)
			}
		case draining:
			drainer = r
		}
	}
	if n := l.ticket.Load(); n < tickets {
		fault("the last ticket drawn is said to be %d, and one has %d", n, tickets)
	}
	if n := l.inUse.Load(); int(n) != inUse {
		fault("%d slots are said to be in use, the holders have %d", n, inUse)
	}
	if r := l.drainer.Load(); r != drainer {
		fault("record %d is said to drain the pool, record %d does", r, drainer)
	}
	for i := range l.holders {
		if r := l.holders[i].Load(); r != 0 && (r > used || l.at(r).state.Load() != held) {
			fault("slot %d is held by record %d, which holds nothing", i, r)
		}
	}
	if n := l.countLine(used); n != count[waiting] || n != int(l.waiting.Load()) {
		fault("the line is broken: it leads to %d of %d who wait", max(n, 0), count[waiting])
	}
	if n := l.sleepers.Load(); int(n) != sleepers {
		fault("%d processes are said to sleep in line, %d do", n, sleepers)
	}
	if n := l.countFree(used); n != count[free] {
		fault("the list of free records is broken: it leads to %d of %d", max(n, 0), count[free])
	}
	return slices.Clip(faults)
}

// countLine follows the line and returns its length, -1 where it is no line.
func (l *ledger) countLine(used uint32) int {
	n, previous := 0, ref(0)
	for r := l.first.Load(); r != 0; r = l.at(r).next.Load() {
		if n++; n > int(used) || r > used || l.at(r).state.Load() != waiting ||
			l.at(r).previous.Load() != previous || previous != 0 && l.compare(previous, r) >= 0 {
			return -1
		}
		previous = r
	}
	if l.last.Load() != previous {
		return -1
	}
	return n
}

// countFree follows the list of free records, likewise.
func (l *ledger) countFree(used uint32) int {
	n := 0
	for r := l.free.Load(); r != 0; r = l.at(r).next.Load() {
		if n++; n > int(used) || r > used || l.at(r).state.Load() != free {
			return -1
		}
	}
	return n
}
