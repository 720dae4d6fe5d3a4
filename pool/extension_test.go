package pool

import (
	"context"
	"sync"
	"testing"
)

// Whoever holds idle slots learns that a request comes to the line, and that the size changes.
func TestArrivalsAreAnnounced(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	lease, err := p.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(p.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	for what, arrive := range map[string]func(){
		"a request": func() {
			go func() {
				defer close(ended)
				other.Acquire(ctx)
			}()
			eventually(t, "a request that needs the slot", func() bool { needed, err := p.IsNeeded(); return needed && err == nil })
		},
		"another size": func() {
			if err := p.Resize(2); err != nil {
				t.Fatal(err)
			}
			if err := p.Resize(1); err != nil {
				t.Fatal(err)
			}
		},
	} {
		before, err := p.Arrivals()
		if err != nil {
			t.Fatal(err)
		}
		awake := make(chan error, 1)
		go func() {
			for n := before; n == before; n, _ = p.Arrivals() {
				p.AwaitArrival(t.Context(), before)
			}
			awake <- nil
		}()
		arrive()
		eventually(t, "news of "+what, func() bool { return len(awake) == 1 })
	}
	cancel()
	<-ended
	// A request of the pool itself does not need its slots.
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	if needed, err := p.IsNeeded(); needed || err != nil {
		t.Errorf("%v %v", needed, err)
	}
}

// An extension counts as a part of the lease that it extends, has its turn after requests that have
// nothing yet, and is held by the guard of the lease.
func TestAnExtensionBelongsToItsLease(t *testing.T) {
	p := newTestPool(t, Config{Size: 2})
	lease, err := p.Acquire(t.Context(), WithCommand("build"))
	if err != nil {
		t.Fatal(err)
	}
	guard, err := lease.Guard()
	if err != nil {
		t.Fatal(err)
	}
	more, err := p.Acquire(t.Context(), Extending(lease.ID()), WithCommand("build"))
	if err == nil {
		err = more.GuardBy(guard)
	}
	if err != nil {
		t.Fatal(err)
	}
	if s := mustStatus(t, p); len(s.Holders) != 1 || len(s.Holders[0].Slots) != 2 {
		t.Errorf("%+v", s.Holders)
	}

	order := make(chan string, 2)
	var requests sync.WaitGroup
	request := func(name string, options ...Option) {
		requests.Go(func() {
			if got, err := p.Acquire(t.Context(), options...); err == nil {
				order <- name
				got.Release()
			}
		})
	}
	request("extension", Extending(lease.ID()))
	eventually(t, "an extension in line", func() bool { return len(mustStatus(t, p).Waiters) == 1 })
	request("lease")
	eventually(t, "both in line", func() bool { return len(mustStatus(t, p).Waiters) == 2 })
	if s := mustStatus(t, p); s.Waiters[0].Extension || !s.Waiters[1].Extension {
		t.Errorf("%+v", s.Waiters)
	}
	if err := more.Release(); err != nil {
		t.Fatal(err)
	}
	if first, second := <-order, <-order; first != "lease" || second != "extension" {
		t.Errorf("%s before %s", first, second)
	}
	requests.Wait()
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	if s := mustStatus(t, p); s.InUse != 0 || s.Available != 2 {
		t.Errorf("%+v", s)
	}
}
