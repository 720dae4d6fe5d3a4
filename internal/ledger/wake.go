package ledger

import (
	"sync/atomic"

	"github.com/poolrun/poolrun/internal/futex"
)

// Waking. Only the first in line sleeps at the gate. All other waiters sleep at their bell
// (pool/sleep.go) until they are poked. A needless poke or wake-up does no harm: its sleeper looks
// and goes back to sleep.

// PassOn tells the first in line that it is first, if another participant was before, and gives it
// time to attend to the gate. The one before may be asleep at the gate though its place is
// elsewhere now, or may have left with a wake-up that a C program waits for: it must keep neither.
// A participant that drains the pool is told when the pool is empty.
func (m *Memory) PassOn(before Ref) error {
	now, _, err := m.First()
	if err != nil {
		return err
	}
	if now != before {
		m.Attended.Store(m.Clock.Now())
		if err := m.Poke(now); err != nil {
			return err
		}
		if before != 0 {
			rec, err := m.At(before)
			if err != nil {
				return err
			}
			if rec.State.Load() == StateWaiting {
				m.Gate.Wake(futex.Everybody)
			} else if now == 0 {
				m.Gate.Wake(1)
			}
		}
	}
	if m.IsEmpty() {
		if err := m.Poke(m.Drainer()); err != nil {
			return err
		}
	}
	return m.keepPace()
}

// keepPace wakes all sleepers if the line has become much shorter than they know: then they have to
// look at the gate more often. They would find out by themselves, but only after a sleep that was
// meant for a long line.
func (m *Memory) keepPace() error {
	n, pace := m.sleepers.Load(), m.pace.Load()
	if pace <= PromptSleepers || n > pace/3 {
		return nil
	}
	m.pace.Store(n)
	walk := m.Line()
	for walk.Next() {
		if walk.hasSleeper(walk.Ref) {
			ring(&walk.Word)
		}
	}
	return walk.Err
}

// PromptSleepers is up to how many sleepers each of them looks so often that it finds a first in
// line that is dead or stopped within two seconds.
const PromptSleepers = 150

// anybodyAtGate reports whether anybody may sleep at the gate: the first in line, or a foreign
// program, which counts itself beside the standing sleeper before it falls asleep.
func (m *Memory) anybodyAtGate() bool { return m.HasLine() || m.HasForeignSleeper() }

// HasForeignSleeper reports whether a program other than poolrun sleeps at the gate.
func (m *Memory) HasForeignSleeper() bool { return m.Gate.Sleepers() != 1 }

// WakeAll wakes everybody who sleeps in the pool. It follows the line.
func (m *Memory) WakeAll() error {
	if m.Draft {
		return nil
	}
	m.Gate.Wake(futex.Everybody)
	m.AnnounceArrival()
	walk := m.Line()
	for walk.Next() {
		if err := m.Poke(walk.Ref); err != nil {
			return err
		}
	}
	if walk.Err != nil {
		return walk.Err
	}
	return m.Poke(m.Drainer())
}

// WakeRecords is WakeAll without the ledger lock: the line may be in the middle of a change, so it
// goes through all records.
func (m *Memory) WakeRecords() {
	m.Gate.Wake(futex.Everybody)
	for r := Ref(1); r <= m.Used(); r++ {
		m.Poke(r)
	}
}

// Poke makes a participant look, or keeps it from falling asleep. r may be nobody.
func (m *Memory) Poke(r Ref) error {
	if r == 0 {
		return nil
	}
	rec, err := m.At(r)
	if err != nil {
		return err
	}
	rec.Poked.Add(1)
	return m.Ring(rec.Bell.Load())
}

// Ring wakes the process that sleeps at a bell, to see which of its waiters were poked.
func (m *Memory) Ring(bell Ref) error {
	rec, err := m.At(bell)
	if err == nil {
		ring(&rec.Word)
	}
	return err
}

// AnnounceArrival wakes the processes that hold slots for which they have no use at the moment: a
// participant may need them.
func (m *Memory) AnnounceArrival() { ring(&m.Arrivals) }

func ring(word *atomic.Uint32) {
	word.Add(1)
	futex.Wake(word, futex.Everybody)
}
