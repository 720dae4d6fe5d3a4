package pool

import (
	"errors"
	"testing"
)

// While long-lived leases leave one slot to others, a further long-lived request is held back, and
// hinders nobody. It goes on as soon as there is room for it.
func TestALongLivedLeaseLeavesASlotToOthers(t *testing.T) {
	p := newTestPool(t, Config{Size: 3})
	hold := func(options ...Option) *Lease {
		t.Helper()
		lease, err := p.TryAcquire(options...)
		if err != nil {
			t.Fatal(err)
		}
		return lease
	}
	first, second := hold(LongLived()), hold(LongLived())
	if _, err := p.TryAcquire(LongLived()); !errors.Is(err, ErrBusy) || err.Error() != "cannot start in pool "+p.Name()+" yet: it waits for another build to end" {
		t.Error(err)
	}
	other, err := Open(p.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	third := make(chan *Lease)
	go func() {
		lease, err := other.Acquire(t.Context(), LongLived())
		if err != nil {
			t.Error(err)
		}
		third <- lease
	}()
	eventually(t, "a request that is held back", func() bool {
		s := mustStatus(t, p)
		return len(s.Waiters) == 1 && s.Waiters[0].Condition == "another build to end"
	})

	// Others take the free slot at once, and are the only ones that need it.
	short := hold()
	if needed, err := p.IsNeeded(); needed || err != nil {
		t.Error(needed, err)
	}
	if room, err := p.Room(); room != 1 || err != nil {
		t.Error(room, err)
	}
	next := make(chan *Lease)
	go func() {
		lease, err := other.Acquire(t.Context())
		if err != nil {
			t.Error(err)
		}
		next <- lease
	}()
	eventually(t, "a request that needs the slot", func() bool {
		needed, err := p.IsNeeded()
		return needed && err == nil
	})
	if s := mustStatus(t, p); len(s.Waiters) != 2 || s.Waiters[0].Condition != "" {
		t.Errorf("%+v", s.Waiters)
	}
	if err := short.Release(); err != nil {
		t.Fatal(err)
	}
	short = <-next
	if s := mustStatus(t, p); len(s.Waiters) != 1 || s.Waiters[0].Condition != "another build to end" {
		t.Errorf("%+v", s.Waiters)
	}

	before, err := p.Arrivals()
	if err == nil {
		err = first.Release()
	}
	if err != nil {
		t.Fatal(err)
	}
	longLived := <-third
	if now, err := p.Arrivals(); now == before || err != nil {
		t.Errorf("the end of a long-lived lease is no news: %v", err)
	}
	for _, lease := range []*Lease{short, second, longLived} {
		if err := lease.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if s := mustStatus(t, p); s.InUse != 0 || s.Available != 3 {
		t.Errorf("%+v", s)
	}
}
