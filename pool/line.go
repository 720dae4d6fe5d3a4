package pool

import (
	"cmp"

	"github.com/poolrun/poolrun/internal/futex"
)

// The line: those who wait, linked in the order of (priority, ticket).

// compare is negative where a stands before b. No two tickets are the same.
func (l *ledger) compare(a, b ref) int {
	ra, rb := l.at(a), l.at(b)
	return cmp.Or(
		cmp.Compare(ra.priority.Load(), rb.priority.Load()),
		cmp.Compare(ra.ticket.Load(), rb.ticket.Load()),
	)
}

// link puts a participant in its place. It looks from the tail on, which is at
// once the place of everybody who has come last and has no better priority.
func (l *ledger) link(r ref) {
	after := l.last.Load()
	for steps := 0; after != 0 && l.compare(r, after) < 0; steps++ {
		if steps > MaxParticipants {
			panic(damaged("the line is a circle"))
		}
		after = l.at(after).previous.Load()
	}
	next := l.first.Load()
	if after != 0 {
		next = l.at(after).next.Load()
	}
	l.at(r).previous.Store(after)
	l.at(r).next.Store(next)
	l.join(after, r)
	l.join(r, next)
	l.waiting.Add(1)
	if l.hasSleeper(r) {
		l.pace.Store(max(l.pace.Load(), l.sleepers.Add(1)))
	}
}

// unlink takes a participant out of the line.
func (l *ledger) unlink(r ref) {
	l.join(l.at(r).previous.Load(), l.at(r).next.Load())
	l.waiting.Add(^uint32(0))
	if l.hasSleeper(r) {
		l.sleepers.Add(^uint32(0))
	}
}

// hasSleeper reports whether this waiter counts as the sleeper of its process, which
// has one however many of it wait: the one at whose word they hear the bell.
func (l *ledger) hasSleeper(r ref) bool { return l.at(r).bell.Load() == r }

// join makes a and b neighbours; nobody (0) stands before the head and behind
// the tail.
func (l *ledger) join(a, b ref) {
	if a == 0 {
		l.first.Store(b)
	} else {
		l.at(a).next.Store(b)
	}
	if b == 0 {
		l.last.Store(a)
	} else {
		l.at(b).previous.Store(a)
	}
}

// line calls yield for everybody in line, in order.
func (l *ledger) line(yield func(ref) bool) {
	steps := 0
	for r := l.first.Load(); r != 0; r = l.at(r).next.Load() {
		if steps++; steps > MaxParticipants || l.at(r).state.Load() != waiting {
			panic(damaged("the line leads to record %d, which does not wait", r))
		}
		if !yield(r) {
			return
		}
	}
}

// first returns whose turn it is, 0 for nobody: the first in line that is not
// set aside, or, if all are, the first.
func (p *Pool) first() ref {
	for r := range p.ledger.line {
		if p.ledger.at(r).aside.Load() == 0 {
			return r
		}
	}
	return p.ledger.first.Load()
}

// turn tells whoever is first now that it is, if another was before, and gives it
// time to attend to the gate. That other may be asleep at the gate though its place is
// elsewhere now, or have left with a wake-up that a C program waits for: neither must
// keep it. Whoever drains the pool is told when it is empty.
func (p *Pool) turn(before ref) {
	l := p.ledger
	if now := p.first(); now != before {
		l.attended.Store(p.now())
		p.poke(now)
		switch {
		case before == 0:
		case l.at(before).state.Load() == waiting:
			p.gate.Wake(futex.Everybody)
		case now == 0:
			p.gate.Wake(1)
		}
	}
	if p.empty() {
		p.poke(l.drainer.Load())
	}
	p.keepPace()
}

// keepPace rings at all sleepers when the line has become much shorter than they know:
// they look at the gate more often then. (They would find out by themselves, but only
// after a sleep that was meant for a long line.)
func (p *Pool) keepPace() {
	l := p.ledger
	n, pace := l.sleepers.Load(), l.pace.Load()
	if pace <= promptSleepers || n > pace/3 {
		return
	}
	l.pace.Store(n)
	for r := range l.line {
		if l.hasSleeper(r) {
			p.ring(r)
		}
	}
}

// anybodyAtGate reports whether somebody may sleep at the gate: the first in line,
// or a foreign program, which counts itself beside the standing sleeper before it
// falls asleep.
func (p *Pool) anybodyAtGate() bool {
	sleepers, err := p.gate.Sleepers()
	return p.ledger.first.Load() != 0 || sleepers != 1 || err != nil
}

// wakeAll wakes all who sleep in the pool, to have a look.
func (p *Pool) wakeAll() {
	if p.isDraft {
		return
	}
	p.gate.Wake(futex.Everybody)
	for r := range p.ledger.line {
		p.poke(r)
	}
	p.poke(p.ledger.drainer.Load())
}

// empty reports whether nobody holds a slot and nobody waits for one.
func (p *Pool) empty() bool {
	return p.ledger.inUse.Load() == 0 && p.ledger.first.Load() == 0
}

// poke makes a participant look, or keeps it from falling asleep. A needless poke does
// no harm.
func (p *Pool) poke(r ref) {
	if rec := p.ledger.at(r); rec != nil {
		rec.poked.Add(1)
		p.ring(r)
	}
}

// ring wakes the sleeper of a participant's process, to see whether it was poked.
func (p *Pool) ring(r ref) { p.ringAt(p.ledger.must(r).bell.Load()) }

func (p *Pool) ringAt(bell ref) {
	word := &p.ledger.must(bell).word
	word.Add(1)
	futex.Wake(word, futex.Everybody)
}
