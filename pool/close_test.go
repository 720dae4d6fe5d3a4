package pool

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/poolrun/poolrun/internal/shm"
	"golang.org/x/sys/unix"
)

// What is closed or released never touches a descriptor or a record again.

// fillDescriptors opens a file for every descriptor that has become free, and returns a
// function which fails if any of them was closed or unlocked by somebody else.
func fillDescriptors(t *testing.T) (check func()) {
	t.Helper()
	type file struct {
		*os.File
		rival *os.File // locks it, too
	}
	var files []file
	for range 8 {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{File: f})
	}
	for i := range files {
		rival, err := os.Open(files[i].Name())
		if err != nil {
			t.Fatal(err)
		}
		files[i].rival = rival
		if locked, err := shm.TryLock(int(files[i].Fd())); !locked || err != nil {
			t.Fatal(locked, err)
		}
	}
	return func() {
		t.Helper()
		for _, f := range files {
			if _, err := f.Stat(); err != nil {
				t.Errorf("somebody else's file: %v", err)
			}
			if locked, _ := shm.TryLock(int(f.rival.Fd())); locked {
				t.Error("somebody else's lock is gone")
			}
			f.Close()
			f.rival.Close()
		}
	}
}

func TestAfterCloseNothingIsTouched(t *testing.T) {
	p := newTestPool(t, Config{Size: 2})
	lease, err := p.TryAcquire()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lease.Guard(); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	check := fillDescriptors(t)
	other := newTestPool(t, Config{Size: 3}) // most likely mapped where p was
	held, err := other.TryAcquire()
	if err != nil {
		t.Fatal(err)
	}
	_, guardErr := lease.Guard()
	_, acquireErr := p.Acquire(t.Context())
	_, statusErr := p.Status()
	_, sizeErr := p.Size()
	_, lostErr := p.IsLost()
	_, _, heldErr := p.HeldSlots(lease.ID())
	for what, err := range map[string]error{
		"Close": p.Close(), "Release": lease.Release(), "SetCommandPID": lease.SetCommandPID(1), "Guard": guardErr,
		"Acquire": acquireErr, "Status": statusErr, "Size": sizeErr, "IsLost": lostErr, "HeldSlots": heldErr,
		"Resize": p.Resize(1), "Destroy": p.Destroy(), "ForceDestroy": p.ForceDestroy(), "Drain": p.Drain(t.Context()),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
	check()
	if s := mustStatus(t, other); s.InUse != 1 || s.Size != 3 {
		t.Errorf("another pool: %+v", s)
	}
	if err := held.Release(); err != nil {
		t.Error(err)
	}
}

// Close is like the death of the process: a lease with a guard is lost too.
func TestCloseGivesUpTheLeases(t *testing.T) {
	p := newTestPool(t, Config{Size: 2})
	handle := openTestPool(t, p.Name())
	for i := range 2 {
		lease, err := handle.TryAcquire()
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if _, err := lease.Guard(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s := mustStatus(t, p); s.InUse != 2 {
		t.Fatalf("%+v", s)
	}
	handle.Close()
	if s := mustStatus(t, p); s.InUse != 0 || s.Counters.Reclaimed != 2 {
		t.Errorf("%+v", s)
	}
}

func TestAfterReleaseTheRecordIsNotTouched(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	lease, err := p.TryAcquire()
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	next, err := p.TryAcquire() // in the same record
	if err != nil {
		t.Fatal(err)
	}
	_, guardErr := lease.Guard()
	_, placeErr := lease.CommandPID()
	for what, err := range map[string]error{
		"Release": lease.Release(), "SetCommandPID": lease.SetCommandPID(1), "Guard": guardErr, "CommandPID": placeErr,
	} {
		if !errors.Is(err, ErrReleased) {
			t.Errorf("%s after Release: %v", what, err)
		}
	}
	if s := mustStatus(t, p); s.InUse != 1 || s.Holders[0].CommandPID != 0 {
		t.Errorf("%+v", s)
	}
	if locked, err := shm.IsLocked(p.probe, guardByte(next.id.ticket), 1); locked || err != nil {
		t.Errorf("the next owner has a guard: %v", err)
	}
}

// A waiting Acquire returns at once, wherever it waits, and leaves the line.
func TestCloseEndsWhatWaits(t *testing.T) {
	waits := map[string]func(p *Pool) error{
		"Acquire": func(p *Pool) error { _, err := p.Acquire(context.Background()); return err },
		"Drain":   func(p *Pool) error { return p.Drain(context.Background()) },
	}
	for what, wait := range waits {
		for _, among := range []int{1, 3} {
			p := newTestPool(t, Config{Size: 1})
			if _, err := p.TryAcquire(); err != nil {
				t.Fatal(err)
			}
			handle := openTestPool(t, p.Name())
			ended := make(chan error)
			if what == "Drain" {
				among = 1
			}
			for range among {
				go func() { ended <- wait(handle) }()
			}
			eventually(t, what+" waits", func() bool {
				s := mustStatus(t, p)
				return len(s.Waiters) == among || s.Draining
			})
			if err := handle.Close(); err != nil {
				t.Error(err)
			}
			for range among {
				select {
				case err := <-ended:
					if !errors.Is(err, ErrClosed) {
						t.Errorf("%s: %v", what, err)
					}
				case <-time.After(20 * time.Second):
					t.Fatalf("%s hangs", what)
				}
			}
			if s := mustStatus(t, p); len(s.Waiters) != 0 || s.Draining {
				t.Errorf("%s is still there: %+v", what, s)
			}
		}
	}
}

// A wait for the ledger lock cannot be ended; when the lock comes, long after Close,
// the descriptor's number is somebody else's.
func TestALockThatComesTooLateUnlocksNobodyElses(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	handle := openTestPool(t, p.Name())
	fd := handle.object.FD
	if err := p.lock(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := handle.Acquire(context.Background())
		ended <- err
	}()
	eventually(t, "it waits for the lock", func() bool { return len(handle.turnstile) == 1 })
	time.Sleep(10 * time.Millisecond) // for the wait itself; too short, it proves less
	if err := handle.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	check := fillDescriptors(t)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Ino == p.object.Inode {
		t.Fatalf("descriptor %d was not taken again: %v", fd, err)
	}
	p.unlock()
	eventually(t, "the late lock", func() bool { return len(handle.turnstile) == 0 })
	check()
	if err := p.lock(t.Context(), 0); err != nil { // nobody has kept it
		t.Fatal(err)
	}
	p.unlock()
}
