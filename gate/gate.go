// Package gate offers the POSIX named semaphores of 64-bit Linux with glibc, in pure Go: the
// objects that sem_open(3) makes in /dev/shm, bit for bit. A C program that opens the same name
// shares the semaphore, waits for its posts, and is woken by them.
//
// A semaphore is a number that never falls below zero. Wait subtracts 1 from it, and blocks while
// it is zero; Post adds 1 and wakes a waiter. A semaphore knows no owner: a process that dies
// between Wait and Post never returns what it took. Package pool adds what that lacks. A Barrier
// makes processes wait for each other.
package gate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/poolrun/poolrun/internal/futex"
	"github.com/poolrun/poolrun/internal/sem"
	"github.com/poolrun/poolrun/internal/shm"
)

// MaxValue is SEM_VALUE_MAX of <limits.h>: the largest value of a semaphore.
const MaxValue = sem.MaxValue

var (
	// ErrWouldBlock is returned by TryWait if the value is zero (EAGAIN).
	ErrWouldBlock = sem.ErrWouldBlock
	// ErrOverflow is returned by Post if the value is MaxValue (EOVERFLOW).
	ErrOverflow = sem.ErrOverflow
	// ErrInvalid is returned for a name or a value that no semaphore can have.
	ErrInvalid = errors.New("invalid")
)

// A Sem is an open semaphore. Its methods may be called by many goroutines at once. After Close
// they change nothing and return fs.ErrClosed. If the semaphore's file is truncated by another
// program, they return an error.
type Sem struct {
	sem  *sem.Sem
	life shm.Lifetime
}

// use runs f while the semaphore is open. Only in here is its memory touched.
func (s *Sem) use(f func() error) (err error) {
	if !s.life.Enter() {
		return fs.ErrClosed
	}
	defer s.life.Leave()
	defer shm.CatchFault(&err, shm.PanicOnFault())
	return f()
}

// Create makes a semaphore that does not exist yet and opens it. It has exactly this mode: the
// umask does not count. The name appears when the semaphore is complete. If the name is taken,
// errors.Is(err, fs.ErrExist) holds. After an error nothing is changed.
func Create(name string, value int, mode fs.FileMode) (*Sem, error) {
	if value < 0 || value > MaxValue {
		return nil, fmt.Errorf("cannot create semaphore %s: %w value %d", name, ErrInvalid, value)
	}
	return create(name, value, mode, sem.TagNone)
}

func create(name string, value int, mode fs.FileMode, tag sem.Tag) (*Sem, error) {
	file, err := fileName(name)
	if err != nil {
		return nil, err
	}
	s, err := sem.Make(value, mode, shm.Caller, tag)
	if err == nil {
		if err = s.Link(file); err != nil {
			s.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot create semaphore %s: %w", name, err)
	}
	return &Sem{sem: s}, nil
}

// Open opens an existing semaphore. If there is none, errors.Is(err, fs.ErrNotExist) holds; if the
// caller may not write to it, fs.ErrPermission. Open refuses a file that is not a regular one of a
// semaphore's size, and a semaphore of another user than the caller or root, unless it is shared
// through a group of the caller and closed to others.
func Open(name string) (*Sem, error) {
	if _, err := fileName(name); err != nil {
		return nil, err
	}
	s, err := sem.Open(name, shm.ReadWrite)
	if err != nil {
		return nil, fmt.Errorf("cannot open semaphore %s: %w", name, err)
	}
	return &Sem{sem: s}, nil
}

// Unlink removes the name. Programs that have the semaphore open keep it, as after sem_unlink(3).
// If there is none, errors.Is(err, fs.ErrNotExist) holds.
func Unlink(name string) error {
	file, err := fileName(name)
	if err != nil {
		return err
	}
	if err := shm.Unlink(file); err != nil {
		return fmt.Errorf("cannot remove semaphore %s: %w", name, err)
	}
	return nil
}

// Close releases the semaphore and leaves its value alone. Waits that are going on return
// fs.ErrClosed, and so does a second Close.
func (s *Sem) Close() error {
	if !s.life.End(s.wakeAll) {
		return fs.ErrClosed
	}
	return s.sem.Close()
}

// wakeAll wakes all sleepers until those of this Sem have gone: one of them may only be about to
// fall asleep. Sleepers of other processes look again and go on sleeping.
func (s *Sem) wakeAll() {
	for s.life.Inside() {
		s.sem.Wake(futex.Everybody)
		time.Sleep(time.Millisecond)
	}
}

// Value is the number of Waits that would return at once, as sem_getvalue(3) says. It may have
// changed by the time that the caller looks at it.
func (s *Sem) Value() (value int, err error) {
	err = s.use(func() error {
		value = s.sem.Value()
		return nil
	})
	return value, err
}

// Wait subtracts 1 from the value. While the value is zero it blocks, until a Post or until ctx is
// done. Then it returns ctx's error and has changed nothing. It takes what is there even if ctx is
// done already.
//
// The kernel decides which of several waiters is woken: the one that has slept longest. But a
// newcomer can be faster than the process that was woken.
func (s *Sem) Wait(ctx context.Context) error {
	return s.use(func() error {
		if s.sem.Take() {
			return nil
		}
		// As in glibc's __new_sem_wait_slow64: while this process is counted, every sem_post(3)
		// makes a wake call.
		s.sem.CountSleeper()
		for !s.sem.TakeAsleep() {
			if err := s.waitError(ctx); err != nil {
				s.sem.UncountSleeper()
				if s.sem.Value() > 0 { // a wake-up that came now is the next waiter's
					s.sem.Wake(1)
				}
				return err
			}
			futex.Sleep(ctx, s.sem.Word(), 0, 0)
		}
		return nil
	})
}

// waitError says why a wait has to end, if it has to.
func (s *Sem) waitError(ctx context.Context) error {
	if s.life.IsOver() {
		return fs.ErrClosed
	}
	return ctx.Err()
}

// TryWait subtracts 1 from the value. If the value is zero, it returns ErrWouldBlock.
func (s *Sem) TryWait() error {
	return s.use(func() error {
		if !s.sem.Take() {
			return ErrWouldBlock
		}
		return nil
	})
}

// Post adds 1 to the value, and wakes a waiter if there is one. If the value is MaxValue, it
// changes nothing and returns ErrOverflow.
func (s *Sem) Post() error { return s.use(s.sem.Post) }

// fileName returns the name of the semaphore's file, or ErrInvalid for a name that glibc does not
// take (sem_overview(7)): a slash, then at least one byte, no further slash, and no more than
// NAME_MAX - 4 bytes in all.
func fileName(name string) (string, error) {
	base, ok := strings.CutPrefix(name, "/")
	if !ok || base == "" || len(base) > 255-len("sem.") || strings.ContainsAny(base, "/\x00") {
		return "", fmt.Errorf("%w semaphore name %q", ErrInvalid, name)
	}
	return sem.File(name), nil
}
