package sem

import (
	"testing"
	"unsafe"

	"github.com/poolrun/poolrun/internal/shm"
)

// newSem makes a semaphore without a name: nothing of it is left after the test.
func newSem(t *testing.T, value int) *Sem {
	t.Helper()
	s, err := Make(value, 0o600, shm.Caller, TagNone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestLayoutIsGlibcs(t *testing.T) {
	var l layout
	for field, offsets := range map[string][2]uintptr{
		"shared": {unsafe.Offsetof(l.shared), 8},
		// glibc does not use these: sizeof(struct new_sem) is 16.
		"tag":     {unsafe.Offsetof(l.tag), 16},
		"parties": {unsafe.Offsetof(l.parties), 24},
		"end":     {unsafe.Sizeof(l), size},
	} {
		if offsets[0] != offsets[1] {
			t.Errorf("%s is at %d, not %d", field, offsets[0], offsets[1])
		}
	}
}

func TestAddFlipsTheParityAndNothingElseDoes(t *testing.T) {
	s := newSem(t, 2)
	want := uint32(0)
	check := func(after string) {
		t.Helper()
		if got := s.Parity(); got != want {
			t.Errorf("parity %d after %s", got, after)
		}
	}
	for _, delta := range []int{-1, -1, +2, -2} {
		if err := s.Add(delta); err != nil {
			t.Error(err)
		}
		want ^= 1
		check("Add")
	}
	if err := s.Add(-1); err != ErrWouldBlock {
		t.Error(err)
	}
	check("an Add that was refused")
	s.Add(1)
	want ^= 1
	s.Post()
	s.Take()
	s.CountSleeper()
	s.TakeAsleep()
	s.CountSleeper()
	check("everything else")
	if v, n := s.Value(), s.Sleepers(); v != 0 || n != 1 {
		t.Errorf("value %d, %d sleepers", v, n)
	}
	s.UncountSleeper()
	check("UncountSleeper")
}

func TestTheValueNeverRisesAboveItsMaximumButCanFallFromThere(t *testing.T) {
	s := newSem(t, MaxValue)
	if err := s.Add(1); err != ErrOverflow {
		t.Error(err)
	}
	if err := s.Post(); err != ErrOverflow {
		t.Error(err)
	}
	s.SetValue(MaxValue + 5) // as another program may write it
	if err := s.Add(-2); err != nil || s.Value() != MaxValue+3 || s.IsSound() {
		t.Errorf("%v, value %d", err, s.Value())
	}
}
