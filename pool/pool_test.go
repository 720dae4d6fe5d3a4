package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poolrun/poolrun/gate"
	"github.com/poolrun/poolrun/internal/shm"
)

var testPools atomic.Int64

// newTestPool makes a pool that vanishes with the test, however it ends.
func newTestPool(t testing.TB, config Config) *Pool {
	t.Helper()
	name := fmt.Sprintf("/pooltest-%d-%d", os.Getpid(), testPools.Add(1))
	if err := Create(name, config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Remove(name) })
	return openTestPool(t, name)
}

func openTestPool(t testing.TB, name string) *Pool {
	t.Helper()
	p, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func mustStatus(t *testing.T, p *Pool) Status {
	t.Helper()
	s, err := p.Status()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// eventually waits for a condition to be seen; the limit is only for not hanging.
func eventually(t *testing.T, what string, seen func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !seen(); {
		if time.Now().After(end) {
			t.Fatalf("never seen: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// wantServed waits for one that the gate is open to.
func wantServed(t *testing.T, served <-chan error) {
	t.Helper()
	select {
	case err := <-served:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it sleeps before an open gate")
	}
}

func TestAcquireTakesTheLowestFreeSlots(t *testing.T) {
	p := newTestPool(t, Config{Size: 3})
	var leases []*Lease
	for want := range 3 {
		lease, err := p.TryAcquire()
		if err != nil {
			t.Fatal(err)
		}
		if got := lease.Slots(); len(got) != 1 || got[0] != want {
			t.Errorf("slots %v, want [%d]", got, want)
		}
		leases = append(leases, lease)
	}
	if _, err := p.TryAcquire(); !errors.Is(err, ErrBusy) {
		t.Errorf("a fourth lease of three: %v", err)
	}
	s := mustStatus(t, p)
	if s.InUse != 3 || s.Available != 0 || len(s.Holders) != 3 || s.Counters.Busy != 1 || s.Counters.Acquired != 3 {
		t.Errorf("status %+v", s)
	}
	if err := leases[1].Release(); err != nil {
		t.Fatal(err)
	}
	again, err := p.TryAcquire()
	if err != nil || again.Slots()[0] != 1 {
		t.Errorf("%v %v", again, err)
	}
	for _, lease := range []*Lease{leases[0], leases[2], again} {
		if err := lease.Release(); err != nil {
			t.Error(err)
		}
	}
	s = mustStatus(t, p)
	if s.InUse != 0 || s.Available != 3 || len(s.Holders) != 0 || s.Counters.Released != 4 {
		t.Errorf("status %+v", s)
	}
}

func TestLeasesAreHandedOnInOrderAlsoWhenSomeLeaveTheLine(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	first, err := p.TryAcquire()
	if err != nil {
		t.Fatal(err)
	}
	const n = 20
	leaves := func(i int) bool { return i%4 == 1 }
	order := make(chan int, n)
	var cancels [n]context.CancelFunc
	var group sync.WaitGroup
	for i := range n {
		ctx, cancel := context.WithCancel(t.Context())
		cancels[i] = cancel
		group.Go(func() {
			lease, err := p.Acquire(ctx)
			if err != nil {
				if !leaves(i) || !errors.Is(err, context.Canceled) {
					t.Errorf("waiter %d: %v", i, err)
				}
				return
			}
			order <- i
			if err := lease.Release(); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "one more in line", func() bool { return len(mustStatus(t, p).Waiters) == i+1 })
	}
	left := n
	for i := range n {
		if leaves(i) {
			cancels[i]()
			left--
		}
	}
	eventually(t, "those who left gone", func() bool { return len(mustStatus(t, p).Waiters) == left })
	first.Release()
	group.Wait()
	close(order)
	last := -1
	for i := range order {
		if i < last || leaves(i) {
			t.Errorf("%d was served after %d", i, last)
		}
		last = i
		left--
		cancels[i]()
	}
	if s := mustStatus(t, p); left != 0 || s.InUse != 0 || s.Available != 1 || s.Counters.Cancelled != 5 {
		t.Errorf("%d not served, status %+v", left, s)
	}
}

// A function of the caller's that panics, or ends its goroutine, leaves nobody in line,
// and the pool as it was.
func TestACallersFunctionThatDoesNotReturnLeavesTheLine(t *testing.T) {
	for what, leave := range map[string]func(){
		"panic":  func() { panic("the caller's") },
		"Goexit": runtime.Goexit,
	} {
		t.Run(what, func(t *testing.T) {
			p := newTestPool(t, Config{Size: 1})
			lease, err := p.TryAcquire()
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range []func(){
				func() { p.Acquire(t.Context(), OnWait(leave)) },
				func() { p.Suspend(leave) },
			} {
				var group sync.WaitGroup
				group.Go(func() {
					defer func() { recover() }()
					call()
				})
				group.Wait()
			}
			if s := mustStatus(t, p); len(s.Waiters) != 0 {
				t.Errorf("%d in line", len(s.Waiters))
			}
			if err := lease.Release(); err != nil {
				t.Error(err)
			}
			if lease, err = p.TryAcquire(); err != nil {
				t.Fatal(err)
			}
			lease.Release()
		})
	}
}

// A waiter that gives up releases its claim under the ledger lock. Otherwise the next
// participant that gets its record could find the claim taken.
func TestARecordIsNotFreeBeforeItsClaim(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	lease, err := p.TryAcquire()
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		handle := openTestPool(t, p.Name()) // as another process would
		group.Go(func() {
			for range 300 {
				ctx, cancel := context.WithTimeout(context.Background(), 50*time.Microsecond)
				if _, err := handle.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	group.Wait()
	if err := lease.Release(); err != nil {
		t.Error(err)
	}
}

// The fuzzer found this: a waiter looked at the first of a line that has none.
func TestALineThatLeadsNowhereIsDamageToThoseInIt(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	lease, err := p.TryAcquire()
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	got := make(chan error)
	go func() {
		_, err := p.Acquire(context.Background())
		got <- err
	}()
	eventually(t, "one in line", p.mem.HasLine)
	waiter, _, err := p.mem.First()
	if err != nil {
		t.Fatal(err)
	}
	// The links to the head and to the tail, as the test of the layout has them.
	f, err := os.OpenFile(shm.Path(ledgerFile(p.Name())), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 8), 56); err != nil {
		t.Fatal(err)
	}
	p.mem.Poke(waiter)
	p.mem.Gate.Wake(1)
	if err := <-got; !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

// A foreign program's post wakes the first in line, which has slept at the gate for longest.
// If that one gives up at this moment, the wake-up is for the next sleeper.
func TestAWakeUpIsPassedOn(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	lease, err := p.TryAcquire()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := gate.Open(p.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	for range 20 {
		waiter := openTestPool(t, p.Name())
		ctx, giveUp := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() {
			_, err := waiter.Acquire(ctx)
			gaveUp <- err
		}()
		eventually(t, "one in line", func() bool { return len(mustStatus(t, p).Waiters) == 1 })
		served := make(chan error, 1)
		go func() { served <- foreign.Wait(t.Context()) }()
		time.Sleep(5 * time.Millisecond) // for both to be asleep; too short, it proves less

		if err := p.lock(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if err := foreign.Post(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		giveUp()
		p.unlock()
		<-gaveUp
		wantServed(t, served)
	}
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
}
