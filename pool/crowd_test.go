package pool

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/poolrun/poolrun/gate"
	"golang.org/x/sys/unix"
)

// lineUp puts a waiter in line, as Acquire does before it sleeps.
func lineUp(t *testing.T, p *Pool) *place {
	t.Helper()
	var place *place
	err := p.update(t.Context(), lockLimit, func() (err error) {
		place, err = p.joinLine(request{weight: 1})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return place
}

// Newcomers get the records of waiters that have died in the middle of the line.
func TestADeadLineHasRoom(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	if _, err := p.TryAcquire(); err != nil {
		t.Fatal(err)
	}
	dying := openTestPool(t, p.Name())
	first := lineUp(t, p)
	for range MaxParticipants - 2 {
		lineUp(t, dying)
	}
	full := openTestPool(t, p.Name())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := full.Acquire(ctx); !errors.Is(err, ErrFull) {
		t.Fatalf("in a full pool: %v", err)
	}
	dying.Close()
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := full.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("behind a dead line: %v", err)
	}
	if s := mustStatus(t, p); len(s.Waiters) != 1 || s.Counters.Cancelled != MaxParticipants-2 {
		t.Errorf("%d wait, %+v", len(s.Waiters), s.Counters)
	}
	first.leaveLine(context.Canceled)
}

// A post that the first in line cannot use, because it needs more slots, is for the C program
// that waits behind it: sem_post(3) has woken the first in line instead.
func TestAPostThatTheFirstCannotUseIsPassedOn(t *testing.T) {
	p := newTestPool(t, Config{Size: 2})
	if _, err := p.TryAcquire(); err != nil {
		t.Fatal(err)
	}
	foreign, err := gate.Open(p.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	for range 20 {
		if err := foreign.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		heavy := openTestPool(t, p.Name())
		ctx, giveUp := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() {
			_, err := heavy.Acquire(ctx, WithWeight(2))
			gaveUp <- err
		}()
		// The first in line has to be asleep for longer than the C program. At the beginning
		// it wakes often.
		eventually(t, "one long in line", func() bool {
			s := mustStatus(t, p)
			return len(s.Waiters) == 1 && time.Since(s.Waiters[0].Since) > 4*watchAfter
		})
		before := p.mem.Gate.Sleepers()
		served := make(chan error, 1)
		go func() { served <- foreign.Wait(t.Context()) }()
		eventually(t, "a C program waits", func() bool { return p.mem.Gate.Sleepers() > before })
		time.Sleep(5 * time.Millisecond) // for it to be asleep; too short, it proves less
		if err := foreign.Post(); err != nil {
			t.Fatal(err)
		}
		wantServed(t, served)
		if err := foreign.Post(); err != nil {
			t.Fatal(err)
		}
		giveUp()
		<-gaveUp
	}
}

// A newcomer to a full pool does not pay for its holders.
func TestJoiningCostsTheSameWhateverTheNumberOfHolders(t *testing.T) {
	cost := func(holders int) time.Duration {
		p := newTestPool(t, Config{Size: holders})
		crowd := openTestPool(t, p.Name())
		for range holders {
			if _, err := crowd.TryAcquire(); err != nil {
				t.Fatal(err)
			}
		}
		first := lineUp(t, crowd)
		defer first.leaveLine(context.Canceled)
		const rounds = 20
		began := time.Now()
		for range rounds {
			ctx, cancel := context.WithCancel(t.Context())
			if _, err := p.Acquire(ctx, OnWait(cancel)); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		return time.Since(began) / rounds
	}
	few, many := cost(4), cost(MaxSlots)
	t.Logf("to join and to leave: %v with 4 holders, %v with %d", few, many, MaxSlots)
	// To ask for every holder took some thousand times as long.
	if many > 50*few+time.Millisecond {
		t.Errorf("%v with 4 holders, %v with %d", few, many, MaxSlots)
	}
}

// The list of the kernel's locks says the same as the kernel.
func TestTheCensusIsRight(t *testing.T) {
	p := newTestPool(t, Config{Size: 100})
	handle := openTestPool(t, p.Name())
	var leases []*Lease
	for i := range 100 {
		lease, err := handle.TryAcquire()
		if err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			if _, err := lease.Guard(); err != nil {
				t.Fatal(err)
			}
		}
		leases = append(leases, lease)
	}
	for i, lease := range leases {
		if i%2 == 0 {
			handle.abandon(lease.holding) // as if it had died, guard aside
		}
	}
	census := p.takeCensus(100)
	if census.locked == nil {
		t.Skip("no /proc/locks")
	}
	// Locks of other programs come and go while the list is read, which can hide a lock.
	eventually(t, "the same locks in /proc/locks", func() bool {
		census = p.takeCensus(100)
		for i, lease := range leases {
			if census.shows(guardByte(lease.id.ticket)) != (i%3 == 0) {
				return false
			}
		}
		return census.shows(claimByte(handle.claimed))
	})
	for _, lease := range leases {
		locked, err := census.isLocked(lease.rec)
		if asked, _ := p.isLocked(lease.rec); locked != asked || err != nil {
			t.Errorf("record %d: locked %v, the kernel says %v, %v", lease.id.r, locked, asked, err)
		}
	}
	reaped, silent, err := p.reapHolders(t.Context(), 0)
	if err != nil || silent || reaped != 33 {
		t.Errorf("reaped %d, silent %v, %v", reaped, silent, err)
	}
}

// "Too many open files" is about the caller, and is not damage to the pool.
func TestAnErrorOfTheSystemIsNoDamage(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	lease, err := p.TryAcquire()
	if err != nil {
		t.Fatal(err)
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	for more := range uint64(6) {
		limit := before
		limit.Cur = uint64(len(open)) - 1 + more
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		q, openErr := Open(p.Name())
		if openErr == nil {
			q.Close()
		}
		_, guardErr := lease.Guard()
		createErr := Create(p.Name()+"-more", Config{Size: 1})
		Remove(p.Name() + "-more")
		for what, err := range map[string]error{"Open": openErr, "Guard": guardErr, "Create": createErr} {
			if errors.Is(err, ErrDamaged) || err != nil && !(errors.Is(err, ErrUnavailable) && errors.Is(err, unix.EMFILE)) {
				t.Errorf("%s with %d descriptors more: %v", what, more, err)
			}
		}
	}
}

// The sleepers of a line look often enough to find a deserted gate, and not so often that they cost
// much.
func TestThePeriodFitsTheLine(t *testing.T) {
	const second = int64(1e9)
	last := int64(0)
	for n := range uint32(9000) {
		p := period(n)
		switch {
		case p < last:
			t.Errorf("%d sleepers: %d ns, and one less: %d ns", n, p, last)
		case n <= 150 && p > 3*second/2:
			t.Errorf("%d sleepers: %d ns", n, p)
		case n >= 1000 && int64(n)*second/p > 9:
			t.Errorf("%d sleepers: %d looks a second", n, int64(n)*second/p)
		case n > 0 && 2*second*int64(min(n, 8192))/p < 18 && p > 2*second:
			t.Errorf("%d sleepers: only %d of them look within two seconds", n, 2*second*int64(n)/p)
		}
		last = p
	}
}
