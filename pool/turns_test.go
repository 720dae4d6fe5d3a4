package pool

import (
	"context"
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

// A request that waited for a slot waits for another build to end once one before it has got that slot. It
// does not have to look again for that to be seen, nor for its error to say so.
func TestARequestIsHeldBackByOneBeforeIt(t *testing.T) {
	p := newTestPool(t, Config{Size: 3})
	var last *Lease
	for _, options := range [][]Option{{LongLived()}, nil, nil} {
		var err error
		if last, err = p.TryAcquire(options...); err != nil {
			t.Fatal(err)
		}
	}
	limit := deadline{t.Context(), make(chan struct{})}
	var ends []chan error
	for i, ctx := range []context.Context{t.Context(), t.Context(), limit} {
		other, end := openTestPool(t, p.Name()), make(chan error, 1)
		go func() {
			_, err := other.Acquire(ctx, LongLived())
			end <- err
		}()
		eventually(t, "a request in line", func() bool {
			s := mustStatus(t, p)
			return len(s.Waiters) == i+1 && s.Waiters[i].Condition == ""
		})
		ends = append(ends, end)
	}
	if err := last.Release(); err != nil {
		t.Fatal(err)
	}
	wantServed(t, ends[0])
	if s := mustStatus(t, p); len(s.Waiters) != 2 || s.Waiters[0].Condition != "another build to end" || s.Waiters[1].Condition != "another build to end" {
		t.Errorf("%+v", s.Waiters)
	}
	close(limit.isOver)
	want := "cannot start in pool " + p.Name() + " yet: it waits for another build to end"
	if err := <-ends[2]; !errors.Is(err, ErrTooLate) || !errors.Is(err, context.DeadlineExceeded) || err.Error() != want {
		t.Error(err)
	}
}

// A deadline is a context whose time is over when its channel is closed.
type deadline struct {
	context.Context
	isOver chan struct{}
}

func (d deadline) Done() <-chan struct{} { return d.isOver }

func (d deadline) Err() error {
	select {
	case <-d.isOver:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
