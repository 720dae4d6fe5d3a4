package gate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var names atomic.Int64

// newSem makes a semaphore that vanishes with the test.
func newSem(t *testing.T, value int) (*Sem, string) {
	t.Helper()
	name := fmt.Sprintf("/gatetest-%d-%d", os.Getpid(), names.Add(1))
	s, err := Create(name, value, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		Unlink(name)
		s.Close()
	})
	return s, name
}

func value(t *testing.T, s *Sem) int {
	t.Helper()
	v, err := s.Value()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCreateIsExclusiveAndItsModeExact(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	name := fmt.Sprintf("/gatetest-%d-%d", os.Getpid(), names.Add(1))
	s, err := Create(name, 1, 0o664)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	defer Unlink(name)
	info, err := os.Stat("/dev/shm/sem." + name[1:])
	if err != nil || info.Mode().Perm() != 0o664 || info.Size() != 32 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := Create(name, 1, 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second semaphore of that name: %v", err)
	}
}

func TestNamesAndValuesAreChecked(t *testing.T) {
	for _, name := range []string{"", "/", "x", "/a/b", "/a\x00", "/" + string(make([]byte, 252))} {
		if _, err := Create(name, 1, 0o600); !errors.Is(err, ErrInvalid) {
			t.Errorf("create %q: %v", name, err)
		}
		if _, err := Open(name); !errors.Is(err, ErrInvalid) {
			t.Errorf("open %q: %v", name, err)
		}
		if err := Unlink(name); !errors.Is(err, ErrInvalid) {
			t.Errorf("unlink %q: %v", name, err)
		}
	}
	for _, n := range []int{-1, MaxValue + 1} {
		if _, err := Create("/gatetest-none", n, 0o600); !errors.Is(err, ErrInvalid) {
			t.Errorf("value %d: %v", n, err)
		}
	}
	if _, err := Open("/gatetest-none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
	if err := Unlink("/gatetest-none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("unlink: %v", err)
	}
}

func TestPostBeyondTheMaximumChangesNothing(t *testing.T) {
	s, _ := newSem(t, MaxValue)
	if err := s.Post(); !errors.Is(err, ErrOverflow) {
		t.Error(err)
	}
	if v := value(t, s); v != MaxValue {
		t.Errorf("value %d", v)
	}
}

func TestWaitBlocksUntilAPost(t *testing.T) {
	s, name := newSem(t, 0)
	other, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	const n = 50
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			if err := s.Wait(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	for range n {
		if err := other.Post(); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
	if v := value(t, s); v != 0 {
		t.Errorf("value %d", v)
	}
	if n := s.sem.Sleepers(); n != 0 {
		t.Errorf("%d are still counted as asleep", n)
	}
}

func TestACancelledWaitHasTakenNothing(t *testing.T) {
	s, _ := newSem(t, 0)
	const n = 200
	var taken atomic.Int64
	var group sync.WaitGroup
	for i := range n {
		ctx, cancel := context.WithCancel(context.Background())
		group.Go(func() {
			if s.Wait(ctx) == nil {
				taken.Add(1)
			}
		})
		group.Go(func() {
			time.Sleep(time.Duration(i%7) * 100 * time.Microsecond)
			cancel()
		})
		if i%2 == 0 {
			group.Go(func() { s.Post() })
		}
	}
	group.Wait()
	if v := value(t, s); int64(v) != n/2-taken.Load() {
		t.Errorf("%d posted, %d taken, value %d", n/2, taken.Load(), v)
	}
	if n := s.sem.Sleepers(); n != 0 {
		t.Errorf("%d are still counted as asleep", n)
	}
}

func TestATruncatedSemaphoreIsAnError(t *testing.T) {
	s, name := newSem(t, 1)
	if err := os.Truncate("/dev/shm/sem."+name[1:], 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Value(); err == nil {
		t.Error("no error")
	}
	if err := s.Post(); err == nil {
		t.Error("no error")
	}
}
