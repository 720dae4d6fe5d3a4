package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

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
			panic(damage{errors.New("the line is a circle")})
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
}

// unlink takes a participant out of the line.
func (l *ledger) unlink(r ref) {
	l.join(l.at(r).previous.Load(), l.at(r).next.Load())
	l.waiting.Add(^uint32(0))
}

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
			panic(damage{fmt.Errorf("the line leads to record %d, which does not wait", r)})
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

// turn tells whoever is first now that it is, if another was before. That one may
// be asleep at the gate though its place is elsewhere now, or have left with a
// wake-up that a C program waits for: neither must keep it. Whoever drains the
// pool is told when it is empty.
func (p *Pool) turn(before ref) {
	if now := p.first(); now != before {
		p.poke(now)
		switch {
		case before == 0:
		case p.ledger.at(before).state.Load() == waiting:
			p.gate.Wake(futex.Everybody)
		case now == 0:
			p.gate.Wake(1)
		}
	}
	if p.empty() {
		p.poke(p.ledger.drainer.Load())
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

// poke wakes a participant that sleeps on its own word, or keeps it from falling
// asleep. A needless poke does no harm.
func (p *Pool) poke(r ref) {
	if rec := p.ledger.at(r); rec != nil {
		rec.word.Add(1)
		futex.Wake(&rec.word, futex.Everybody)
	}
}

// sleepOnWord sleeps on the word of a participant's record.
func (p *Pool) sleepOnWord(ctx context.Context, r ref, word uint32, limit time.Duration) {
	futex.Sleep(ctx, &p.ledger.at(r).word, word, limit)
}
