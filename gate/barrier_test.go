package gate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newBarrier returns a barrier of which nothing is left after the test.
func newBarrier(t *testing.T, parties int) *Barrier {
	t.Helper()
	b, err := NewBarrier(fmt.Sprintf("/gatetest-%d-%d", os.Getpid(), names.Add(1)), parties)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, _ := filepath.Glob("/dev/shm/sem." + b.name[1:] + "*")
		for _, file := range left {
			t.Errorf("left behind: %s", file)
			os.Remove(file)
		}
	})
	return b
}

// In each generation all parties arrive before any leaves. Quick parties are at the
// barrier again, in the next generation, while others are still leaving this one.
func TestNobodyPassesABarrierBeforeAllHaveArrived(t *testing.T) {
	const parties, generations = 4, 10000
	b := newBarrier(t, parties)
	var arrived [generations]atomic.Int64
	var group sync.WaitGroup
	for range parties {
		group.Go(func() {
			for g := range generations {
				arrived[g].Add(1)
				if err := b.Wait(context.Background()); err != nil {
					t.Error(err)
					return
				}
				if n := arrived[g].Load(); n != parties {
					t.Errorf("generation %d: one has left when %d had arrived", g, n)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestAPartyThatGivesUpTakesItsArrivalBack(t *testing.T) {
	b := newBarrier(t, 3)
	passed := make(chan error, 3)
	arrive := func() { passed <- b.Wait(context.Background()) }
	go arrive()
	present := func() int {
		s, err := Open(b.arrival())
		if err != nil {
			return 0
		}
		defer s.Close()
		return value(t, s)
	}
	waitFor := func(n int) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); present() != n; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d present instead of %d", present(), n)
			}
		}
	}
	waitFor(1)
	ctx, cancel := context.WithCancel(context.Background())
	gaveUp := make(chan error)
	go func() { gaveUp <- b.Wait(ctx) }()
	waitFor(2)
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	waitFor(1)
	go arrive()
	waitFor(2)
	go arrive()
	for range 3 {
		if err := <-passed; err != nil {
			t.Error(err)
		}
	}
}

func TestPartiesAreChecked(t *testing.T) {
	for _, n := range []int{-1, 0, MaxParties + 1} {
		if _, err := NewBarrier("/gatetest-none", n); !errors.Is(err, ErrInvalid) {
			t.Errorf("%d parties: %v", n, err)
		}
	}
	if _, err := NewBarrier("a/b", 2); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}
