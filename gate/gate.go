// Package gate is the POSIX named semaphore of 64-bit Linux with glibc, in pure
// Go: the object that sem_open(3) makes in /dev/shm, bit for bit. Any C program
// that opens the same name shares it, waits for its posts and is woken by them.
//
// A semaphore is a number that never falls below zero. Wait takes one from it
// and blocks while it is zero; Post adds one and wakes one who waits. It knows
// no owner: whoever dies between Wait and Post takes one with it for good. The
// package pool builds on a semaphore what that lacks.
package gate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/poolrun/poolrun/internal/futex"
	"github.com/poolrun/poolrun/internal/shm"
)

// MaxValue is SEM_VALUE_MAX of <limits.h>: the largest value of a semaphore.
const MaxValue = 1<<31 - 1

var (
	// ErrWouldBlock is returned by TryWait when the value is zero (EAGAIN).
	ErrWouldBlock = errors.New("the semaphore's value is zero")
	// ErrOverflow is returned by Post when the value is MaxValue (EOVERFLOW).
	ErrOverflow = errors.New("the semaphore's value is at its maximum")
	// ErrInvalid is returned for a name or a value that no semaphore can have.
	ErrInvalid = errors.New("invalid")
)

// glibc's struct new_sem (sysdeps/nptl/internaltypes.h) where 64-bit atomics
// exist. The low half of data is the value, which is also the futex word; the
// high half counts those who sleep, or are about to.
type layout struct {
	data   atomic.Uint64
	shared atomic.Uint32 // FUTEX_PRIVATE_FLAG: glibc's name for "not private"
	_      [4]byte

	// Where glibc's structure ends, sem_t has 16 bytes left. sem_open(3) makes them
	// zero, and nothing in glibc looks at them.
	tag     atomic.Uint64 // a Tag
	parties atomic.Uint32 // of a barrier
	_       [4]byte
}

const (
	objectSize  = 32 // sizeof(sem_t)
	sharedFutex = 128
	valueMask   = 1<<32 - 1
	oneSleeper  = 1 << 32
	parityBit   = 1 << 63
)

// A Sem is an open semaphore. Its methods may be called by many goroutines at once.
// After Close they change nothing and return fs.ErrClosed.
type Sem struct {
	object *shm.Object
	sem    *layout
	life   shm.Lifetime
}

// use runs f while the semaphore is open. It is the only way to its memory: where its
// file was truncated, touching that is an error (shm.ErrFault).
func (s *Sem) use(f func() error) (err error) {
	if !s.life.Enter() {
		return fs.ErrClosed
	}
	defer s.life.Leave()
	defer shm.CatchFault(&err, shm.PanicOnFault())
	return f()
}

// Create makes a semaphore that did not exist, with this value and exactly this
// mode (the umask does not count), and opens it. It appears under its name
// complete or not at all. errors.Is(err, fs.ErrExist) where the name is taken;
// nothing is changed after any failure.
func Create(name string, value int, mode fs.FileMode) (*Sem, error) {
	return create(name, value, mode, TagNone)
}

func create(name string, value int, mode fs.FileMode, tag Tag) (*Sem, error) {
	s, err := Prepare(value, mode, -1, -1)
	if err != nil {
		return nil, fmt.Errorf("cannot create semaphore %s: %w", name, err)
	}
	if err = s.SetTag(tag); err == nil {
		err = s.Link(name)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Prepare makes a semaphore that has no name yet and vanishes with the process
// that made it. It is given to user uid and group gid as by chown(2): -1 is the
// caller's own.
func Prepare(value int, mode fs.FileMode, uid, gid int) (*Sem, error) {
	if value < 0 || value > MaxValue {
		return nil, fmt.Errorf("%w value %d", ErrInvalid, value)
	}
	object, err := shm.Anonymous(objectSize, mode, shm.Owner{UID: uid, GID: gid})
	if err != nil {
		return nil, err
	}
	s := view(object)
	s.sem.data.Store(uint64(value))
	s.sem.shared.Store(sharedFutex)
	return s, nil
}

// Link gives a prepared semaphore its name. errors.Is(err, fs.ErrExist) where
// the name is taken: then the semaphore stays without a name.
func (s *Sem) Link(name string) error {
	file, err := fileName(name)
	if err == nil {
		err = s.object.Link(file)
	}
	if err != nil {
		return fmt.Errorf("cannot create semaphore %s: %w", name, err)
	}
	return nil
}

// Open opens an existing semaphore; errors.Is(err, fs.ErrNotExist) where there
// is none, fs.ErrPermission where the caller may not write to it. It refuses
// what is not a regular file of a semaphore's size, and the objects of users
// who are neither the caller nor root nor share it through a group.
func Open(name string) (*Sem, error) { return open(name, shm.ReadWrite) }

// OpenReadOnly opens a semaphore of which only Value and Inode may be used.
func OpenReadOnly(name string) (*Sem, error) { return open(name, shm.ReadOnly) }

// OpenToManage is Open for a caller who sees to the semaphore and does not rely on it:
// root may open anybody's.
func OpenToManage(name string) (*Sem, error) { return open(name, shm.Manage) }

func open(name string, access shm.Access) (*Sem, error) {
	file, err := fileName(name)
	if err != nil {
		return nil, err
	}
	object, err := shm.Open(file, objectSize, access)
	if err != nil {
		return nil, fmt.Errorf("cannot open semaphore %s: %w", name, err)
	}
	return view(object), nil
}

// Unlink removes the name. Those who have the semaphore open keep it, as after
// sem_unlink(3). errors.Is(err, fs.ErrNotExist) where there is none.
func Unlink(name string) error {
	file, err := fileName(name)
	if err == nil {
		err = shm.Unlink(file)
	}
	if err != nil {
		return fmt.Errorf("cannot remove semaphore %s: %w", name, err)
	}
	return nil
}

// IsNamed reports whether name leads to the semaphore with this inode.
func IsNamed(name string, inode uint64) bool {
	file, err := fileName(name)
	return err == nil && shm.IsNamed(file, inode)
}

// Exists reports whether there is anything of that name.
func Exists(name string) bool {
	file, err := fileName(name)
	return err == nil && shm.Exists(file)
}

func view(object *shm.Object) *Sem { return &Sem{object: object, sem: shm.View[layout](object)} }

// Close lets go of the semaphore. It does not change its value. Waits that go on
// return fs.ErrClosed; so does a second Close.
func (s *Sem) Close() error {
	if !s.life.End(s.wakeAll) {
		return fs.ErrClosed
	}
	return s.object.Close()
}

// wakeAll wakes all sleepers of this Sem, and others who look again and go on
// sleeping. One of this Sem's may be about to fall asleep: so do it until all are gone.
func (s *Sem) wakeAll() {
	for s.life.Inside() {
		s.Wake(everybody)
		time.Sleep(time.Millisecond)
	}
}

// Inode is the number by which one can tell whether two names, or the same name
// at two moments, mean the same semaphore.
func (s *Sem) Inode() uint64 { return s.object.Inode }

// IsOnlyUser reports whether no other process has the semaphore open.
func (s *Sem) IsOnlyUser() bool { return s.object.IsOnlyUser() }

// MayUnlink reports whether this process may remove the semaphore's name.
func (s *Sem) MayUnlink() bool { return s.object.MayUnlink() }

// Mode is the semaphore's permission bits.
func (s *Sem) Mode() fs.FileMode { return s.object.Mode }

// Owner is the semaphore's user and group.
func (s *Sem) Owner() (uid, gid int) { return s.object.Owner.UID, s.object.Owner.GID }

// Value is what sem_getvalue(3) says: the number of Waits that would return at
// once. It may be another by the time the caller looks at it.
func (s *Sem) Value() (value int, err error) {
	err = s.use(func() error {
		value = int(s.sem.data.Load() & valueMask)
		return nil
	})
	return value, err
}

// Wait takes one from the semaphore, and blocks while its value is zero: until
// a Post, or until ctx is done. Then it returns ctx's error and has taken
// nothing. It takes what is there even when ctx is done already.
//
// Who is woken when several wait is the kernel's business: first come, first
// served, but a newcomer can be faster than the one who was woken.
func (s *Sem) Wait(ctx context.Context) (err error) {
	return s.use(func() error {
		if s.take(1, 0) {
			return nil
		}
		// As in glibc's __new_sem_wait_slow64: while this process is counted, every
		// sem_post(3) makes a wake call.
		s.sem.data.Add(oneSleeper)
		for !s.take(1, oneSleeper) {
			if err := s.whyNot(ctx); err != nil {
				s.sem.data.Add(^uint64(oneSleeper - 1))
				// A wake-up that came at the same moment is the next one's.
				if s.sem.data.Load()&valueMask > 0 {
					s.Wake(1)
				}
				return err
			}
			s.sleep(ctx, 0, 0)
		}
		return nil
	})
}

// whyNot says why a wait has to end, if it has to.
func (s *Sem) whyNot(ctx context.Context) error {
	if s.life.IsOver() {
		return fs.ErrClosed
	}
	return ctx.Err()
}

// TryWait takes one from the semaphore, or returns ErrWouldBlock.
func (s *Sem) TryWait() error {
	return s.use(func() error {
		if !s.take(1, 0) {
			return ErrWouldBlock
		}
		return nil
	})
}

// Post adds one to the semaphore and wakes one who waits, if anybody does. It
// changes nothing and returns ErrOverflow when the value is MaxValue.
func (s *Sem) Post() error {
	return s.use(func() error {
		for {
			d := s.sem.data.Load()
			if d&valueMask >= MaxValue {
				return ErrOverflow
			}
			if s.sem.data.CompareAndSwap(d, d+1) {
				if d&^parityBit >= oneSleeper {
					s.Wake(1)
				}
				return nil
			}
		}
	})
}

// take takes n from the value if it is at least n, and, in the same change,
// what else is to be subtracted from the word.
func (s *Sem) take(n, also uint64) bool {
	for {
		d := s.sem.data.Load()
		if d&valueMask < n {
			return false
		}
		if s.sem.data.CompareAndSwap(d, d-n-also) {
			return true
		}
	}
}

// Wake wakes up to n of those who sleep on the semaphore.
func (s *Sem) Wake(n int) { futex.Wake(s.word(), n) }

func (s *Sem) sleep(ctx context.Context, value uint32, limit time.Duration) {
	futex.Sleep(ctx, s.word(), value, limit)
}
