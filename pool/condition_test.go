package pool

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The first in line is held until its condition is met, and the others keep their order behind it.
func TestAConditionKeepsTheOrder(t *testing.T) {
	p := newTestPool(t, Config{Size: 3})
	var met atomic.Bool
	served := make(chan int, 3)
	var requests sync.WaitGroup
	defer requests.Wait()
	for i, options := range [][]Option{{WithCondition("a sign", met.Load)}, nil, {WithWeight(2)}} {
		requests.Go(func() {
			lease, err := p.Acquire(context.Background(), options...)
			if err != nil {
				t.Error(err)
			} else {
				served <- i
				err = lease.Release()
			}
			if err != nil {
				t.Error(err)
			}
		})
		eventually(t, "one more in line", func() bool { return len(mustStatus(t, p).Waiters) == i+1 })
	}
	if w := mustStatus(t, p).Waiters[0]; w.Condition != "a sign" {
		t.Errorf("%+v", w)
	}
	if _, err := p.TryAcquire(); !errors.Is(err, ErrBusy) || len(served) > 0 {
		t.Errorf("%v, %d served", err, len(served))
	}
	met.Store(true)
	var order []int
	for range 3 {
		order = append(order, <-served)
	}
	if !slices.Equal(order, []int{0, 1, 2}) && !slices.Equal(order, []int{0, 2, 1}) { // the last two may run at once
		t.Error(order)
	}
}

// All conditions have to be met, and each is named while it is not.
func TestSeveralConditions(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	var one, two atomic.Bool
	done := make(chan error)
	go func() {
		lease, err := p.Acquire(t.Context(), WithCondition("one", one.Load), WithCondition("two", two.Load))
		if err == nil {
			err = lease.Release()
		}
		done <- err
	}()
	for condition, flag := range map[string]*atomic.Bool{"one": &one} {
		eventually(t, condition, func() bool { s := mustStatus(t, p); return len(s.Waiters) == 1 && s.Waiters[0].Condition == condition })
		flag.Store(true)
	}
	eventually(t, "two", func() bool { return mustStatus(t, p).Waiters[0].Condition == "two" })
	two.Store(true)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A condition is the caller's code: it may panic, fault, end its goroutine or close the pool. Its
// request does not stay in line.
func TestAConditionThatDoesNotReturn(t *testing.T) {
	for what, leave := range map[string]func(p *Pool){
		"panic":  func(*Pool) { panic("no") },
		"fault":  func(*Pool) { *(*int)(nil) = 1 },
		"goexit": func(*Pool) { runtime.Goexit() },
		"close":  func(p *Pool) { p.Close() },
	} {
		t.Run(what, func(t *testing.T) {
			watcher := newTestPool(t, Config{Size: 1})
			p := openTestPool(t, watcher.Name())
			var mayLeave atomic.Bool
			condition := WithCondition(what, func() bool {
				if mayLeave.Load() {
					leave(p)
				}
				return false
			})
			var err error
			ended := make(chan any)
			go func() {
				defer func() { ended <- recover() }()
				_, err = p.Acquire(t.Context(), condition)
			}()
			eventually(t, "a waiter", func() bool { return len(mustStatus(t, watcher).Waiters) == 1 })
			mayLeave.Store(true)
			if got := <-ended; (got != nil) != (what == "panic" || what == "fault") || what == "close" && !errors.Is(err, ErrClosed) {
				t.Errorf("%v, %v", got, err)
			}
			if s := mustStatus(t, watcher); len(s.Waiters) != 0 {
				t.Errorf("%+v", s.Waiters)
			}
		})
	}
}

// The error of a request says what held it, and is a deadline's or ErrBusy.
func TestTheErrorNamesTheCondition(t *testing.T) {
	p := newTestPool(t, Config{Size: 1, Delay: time.Hour})
	never := WithCondition("the moon", func() bool { return false })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	const text = "cannot start in pool "
	if _, err := p.TryAcquire(never); !errors.Is(err, ErrBusy) || err.Error() != text+p.Name()+" yet: it waits for the moon" {
		t.Error(err)
	}
	if _, err := p.Acquire(ctx, never); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrBusy) || err.Error() != text+p.Name()+" yet: it waits for the moon" {
		t.Error(err)
	}
	lease, err := p.TryAcquire()
	if err != nil || lease.Release() != nil {
		t.Fatal(err)
	}
	if _, err := p.TryAcquire(); !errors.Is(err, ErrBusy) || err.Error() != text+p.Name()+" yet: it waits for 1h0m0s between two starts" {
		t.Error(err)
	}
	if err := Create("/pooltest-negative", Config{Size: 1, Delay: -1}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	c := mustStatus(t, p).Counters
	if c.Busy != 2 || c.TimedOut != 1 || c.Acquired != 1 {
		t.Errorf("%+v", c)
	}
}

// How long slots were held is counted, also for the dead.
func TestHoldsAreCounted(t *testing.T) {
	p := newTestPool(t, Config{Size: 2})
	other := openTestPool(t, p.Name())
	lease, err := p.TryAcquire()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.TryAcquire(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	if lease.Release() != nil || other.Close() != nil {
		t.Error("cannot give up")
	}
	s := mustStatus(t, p)
	last := s.Holds.Buckets[len(s.Holds.Buckets)-1]
	if s.Holds.Count != 2 || s.Holds.Max < 20*time.Millisecond || s.Holds.Sum < 40*time.Millisecond || s.Holds.Buckets[1].Count != 0 || last.Count != 2 {
		t.Errorf("%+v", s.Holds)
	}
}
