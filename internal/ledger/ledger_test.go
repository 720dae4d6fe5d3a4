package ledger

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/poolrun/poolrun/internal/sem"
	"github.com/poolrun/poolrun/internal/shm"
)

// newMemory makes a pool's memory of which nothing is left after the test.
func newMemory(t *testing.T, size int) *Memory {
	t.Helper()
	gate, err := sem.Make(size, 0o600, shm.Caller, sem.TagPool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gate.Close() })
	gate.CountSleeper()
	m := &Memory{Ledger: new(Ledger), Gate: gate}
	m.Format(1, gate.Inode, 0, size, nil, 0)
	m.Life.Store(LifeAlive)
	return m
}

// enlist fills in the next free record.
func enlist(m *Memory, weight int, priority int) (Ref, error) {
	r, rec, err := m.PeekFree()
	if err != nil || r == 0 {
		return 0, err
	}
	rec.Weight.Store(uint32(weight))
	rec.Priority.Store(int32(priority))
	rec.Ticket.Store(m.Ticket.Add(1))
	rec.Bell.Store(r)
	return r, nil
}

// every calls every function that touches the memory, and returns the errors.
func every(m *Memory, r Ref) (errs []error) {
	check := func(err error) { errs = append(errs, err) }
	check(m.Check())
	_, err := m.Mend()
	check(err)
	_, _, err = m.First()
	check(err)
	_, err = m.IsNext(int(r), r%2 == 0)
	check(err)
	m.IsHeldBack(int(r))
	turns := m.Turns()
	for turns.Next() {
	}
	check(turns.Err)
	m.Inspect(func(Fault) {})
	newcomer, err := enlist(m, 1, 0)
	check(err)
	if newcomer != 0 {
		check(m.Change(OpTake, newcomer, CountAcquired))
		check(m.Change(OpGive, newcomer, CountReleased))
		check(m.Change(OpJoin, newcomer, CountNothing))
		check(m.Change(OpLeave, newcomer, CountCancelled))
	}
	for _, op := range []Op{OpTake, OpGive, OpJoin, OpLeave, OpDrain} {
		check(m.Change(op, r, CountNothing))
	}
	check(m.Resize(Tokens{Size: m.Size(), Debt: m.Debt()}))
	check(m.Poke(r))
	check(m.Ring(r))
	check(m.PassOn(r))
	check(m.WakeAll())
	m.WakeRecords()
	holders := m.Holders()
	for holders.Next() {
	}
	check(holders.Err)
	m.NextSlot(r, int(r))
	m.NextSlot(r, -1)
	m.Item(int(r))
	m.AnnounceRebuild()
	_, err = m.Mend()
	check(err)
	check(m.Rebuild())
	check(m.ClearUnreadable(func(*Participant) (bool, error) { return false, nil }))
	m.Waits.Observe(time.Second)
	return errs
}

// The functions run where there is no runtime to allocate from.
func TestNothingAllocates(t *testing.T) {
	m := newMemory(t, 4)
	for range 100 {
		if r, err := enlist(m, 1, 0); err != nil || m.Change(OpJoin, r, CountNothing) != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		r, err := enlist(m, 2, 0)
		for _, step := range []struct {
			op Op
			c  Counter
		}{{OpTake, CountAcquired}, {OpGive, CountReleased}, {OpJoin, CountNothing}, {OpLeave, CountCancelled}, {OpDrain, CountNothing}, {OpLeave, CountNothing}} {
			if err == nil {
				err = m.Change(step.op, r, step.c)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		m.Inspect(func(f Fault) { t.Error(f) })
		m.AnnounceRebuild()
		if _, err := m.Mend(); err != nil {
			t.Fatal(err)
		}
		m.Waits.Observe(time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever is in the memory, every function returns, and soon.
func TestNoMemoryMakesAFunctionPanic(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	m := newMemory(t, 4)
	memory := unsafe.Slice((*byte)(unsafe.Pointer(m.Ledger)), int(Size))
	sound := slices.Clone(memory)
	records := int(unsafe.Offsetof(m.Ledger.participants))
	for range 300 {
		copy(memory, sound)
		for range 1 + random.IntN(60) {
			at := []int{12, 48, records, records + int(unsafe.Sizeof(Participant{}))*random.IntN(8)}[random.IntN(4)]
			at += 4 * random.IntN(64)
			value := []uint32{uint32(random.IntN(12)), random.Uint32(), MaxParticipants, MaxParticipants + 1, 1 << 31, 1<<32 - 1}[random.IntN(6)]
			binary.LittleEndian.PutUint32(memory[at:], value)
		}
		every(m, random.Uint32N(10))
		every(m, random.Uint32())
	}
}

// A line or a list of free records that is a circle is damage, and ends nobody's patience.
func TestACircleIsDamage(t *testing.T) {
	m := newMemory(t, 1)
	for range 3 {
		if r, err := enlist(m, 1, 0); err != nil || m.Change(OpJoin, r, CountNothing) != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(m.join(1, 2), m.join(2, 3), m.join(3, 1)); err != nil {
		t.Fatal(err)
	}
	m.participants[0].Aside.Store(1)
	m.participants[1].Aside.Store(1)
	m.participants[2].Aside.Store(1)
	if _, _, err := m.First(); err != errLine {
		t.Error(err)
	}
	faults := 0
	m.Inspect(func(Fault) { faults++ })
	if faults == 0 {
		t.Error("no fault is found")
	}
	every(m, 2)
	if err := m.Rebuild(); err != nil {
		t.Error(err)
	}
	m.Inspect(func(f Fault) { t.Error(f) })
}

func TestAnImpossibleIntentIsDamage(t *testing.T) {
	for _, in := range []struct{ op, r, size, debt uint32 }{
		{numOps, 1, 4, 0}, {1 << 31, 1, 4, 0}, {OpTake, 0, 4, 0}, {OpTake, MaxParticipants + 1, 4, 0},
		{OpResize, 0, MaxSlots + 1, 0}, {OpGive, 1, 4, MaxSlots + 1},
	} {
		m := newMemory(t, 4)
		m.intent.op.Store(in.op)
		m.intent.participant.Store(in.r)
		m.intent.size.Store(in.size)
		m.intent.debt.Store(in.debt)
		if _, err := m.Mend(); err != errIntent || !m.HasSenselessIntent() {
			t.Errorf("%+v: %v", in, err)
		}
		m.AnnounceRebuild()
		if _, err := m.Mend(); err != nil || m.HasIntent() || m.Size() != 4 {
			t.Errorf("%+v, repaired: %v", in, err)
		}
	}
}

// Rebuild derives from the records exactly what the changes have kept up to date.
func TestRebuildDerivesWhatChangesHaveKept(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		m := newMemory(t, 8)
		for range 40 {
			if r, err := enlist(m, 1+random.IntN(3), random.IntN(3)); err == nil && random.IntN(3) == 0 {
				m.Change(OpTake, r, CountAcquired)
			} else {
				m.Change(OpJoin, r, CountNothing)
			}
			r := 1 + random.Uint32N(uint32(m.Used()))
			switch rec, _ := m.At(r); rec.State.Load() {
			case StateHeld:
				m.Change(OpGive, r, CountReleased)
			case StateWaiting:
				m.Change(OpLeave, r, CountCancelled)
			}
		}
		line := func() (refs []Ref) {
			walk := m.Line()
			for walk.Next() {
				refs = append(refs, walk.Ref)
			}
			return refs
		}
		before, inUse, waiting := line(), m.InUse(), m.Waiting()
		m.Inspect(func(f Fault) { t.Errorf("before: %v", f) })
		if err := m.Rebuild(); err != nil {
			t.Fatal(err)
		}
		m.Inspect(func(f Fault) { t.Errorf("after: %v", f) })
		if !slices.Equal(line(), before) || m.InUse() != inUse || m.Waiting() != waiting {
			t.Fatalf("line %v, was %v; in use %d, was %d", line(), before, m.InUse(), inUse)
		}
	}
}

// A record that is free has nothing of what version 0.1.0 does not know, and so would not overwrite.
func TestAFreeRecordHasNoNewerFields(t *testing.T) {
	m := newMemory(t, 4)
	r, err := enlist(m, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	rec, _ := m.At(r)
	rec.Extends.Store(1)
	rec.LongLived.Store(1)
	if err := m.Change(OpTake, r, CountAcquired); err != nil || rec.Extends.Load() != 1 || rec.LongLived.Load() != 1 || m.LongHeld() != 1 {
		t.Fatal(err)
	}
	if err := m.Change(OpGive, r, CountReleased); err != nil || rec.Extends.Load() != 0 || rec.LongLived.Load() != 0 {
		t.Error(err, rec.Extends.Load(), rec.LongLived.Load())
	}
}
