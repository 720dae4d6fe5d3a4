//go:build linux && (amd64 || arm64)

// Package sem is the POSIX named semaphore of 64-bit Linux with glibc: the object that sem_open(3)
// makes in /dev/shm, bit for bit. Package gate offers it to programs. A pool keeps books on it, and
// needs more: a parity, a tag, a standing sleeper.
//
// The methods of Sem that touch its memory raise SIGBUS if somebody truncates its file. Callers use
// shm.CatchFault. They do not allocate and do not call the Go scheduler.
package sem

import (
	"io/fs"
	"sync/atomic"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/futex"
	"github.com/poolrun/poolrun/internal/shm"
)

// MaxValue is SEM_VALUE_MAX of <limits.h>: the largest value of a semaphore.
const MaxValue = 1<<31 - 1

// An Error is an error that exists before the program is initialized.
type Error string

func (e Error) Error() string { return string(e) }

var (
	// ErrWouldBlock means that the value is too small (EAGAIN).
	ErrWouldBlock error = Error("the semaphore's value is zero")
	// ErrOverflow means that the value would be above MaxValue (EOVERFLOW).
	ErrOverflow error = Error("the semaphore's value is at its maximum")
)

// layout is glibc's struct new_sem (sysdeps/nptl/internaltypes.h) on machines with 64-bit atomics,
// and what a pool and a barrier write behind it.
type layout struct {
	// The low half is the value, which is also the futex word. The high half counts the processes
	// that sleep on it, or are about to. Its highest bit is the parity: see Add.
	data   atomic.Uint64
	shared atomic.Uint32 // FUTEX_PRIVATE_FLAG: glibc's name for "not private"
	_      [4]byte

	// Here glibc's structure ends, and sem_t has 16 bytes left. sem_open(3) sets them to zero, and
	// nothing in glibc reads them.
	tag     atomic.Uint64
	parties atomic.Uint32
	_       [4]byte
}

const (
	size        = 32 // sizeof(sem_t)
	sharedFutex = 128
	valueMask   = 1<<32 - 1
	oneSleeper  = 1 << 32
	parityBit   = 1 << 63
)

// File is the name of a semaphore's file in /dev/shm (sem_overview(7)). The semaphore's own name
// begins with a slash.
func File(name string) string { return filePrefix + name[1:] }

const filePrefix = "sem."

// A Sem is an open semaphore.
type Sem struct {
	shm.Object
	memory *layout
}

// Open opens the semaphore with this name. Errors are those of shm.Open.
func Open(name string, access shm.Access) (*Sem, error) {
	object, err := shm.Open(File(name), size, access)
	if err != nil {
		return nil, err
	}
	return &Sem{*object, shm.View[layout](object)}, nil
}

// TryOpen is Open in bare Go. It reports false if that fails, for whatever reason.
func (s *Sem) TryOpen(name string, access shm.Access) bool {
	var buffer [256]byte
	file := bare.In(buffer[:])
	file.Add(filePrefix)
	file.Add(name[1:])
	if refusal, errno := s.Object.TryOpen(file.String(), size, access); refusal != shm.Accepted || errno != 0 {
		return false
	}
	s.memory = shm.View[layout](&s.Object)
	return true
}

// Make makes a semaphore without a name. It vanishes with the process unless it is linked.
func Make(value int, mode fs.FileMode, owner shm.Owner, tag Tag) (*Sem, error) {
	object, err := shm.Anonymous(size, mode, owner)
	if err != nil {
		return nil, err
	}
	s := &Sem{*object, shm.View[layout](object)}
	s.memory.data.Store(uint64(value))
	s.memory.shared.Store(sharedFutex)
	s.memory.tag.Store(uint64(tag))
	return s, nil
}

// Value is the semaphore's value, sem_getvalue(3).
func (s *Sem) Value() int { return int(s.memory.data.Load() & valueMask) }

// SetValue sets the value and leaves the count of sleepers alone.
func (s *Sem) SetValue(value int) {
	for {
		d := s.memory.data.Load()
		if s.memory.data.CompareAndSwap(d, d&^valueMask|uint64(value)) {
			return
		}
	}
}

// Take subtracts 1 from the value, unless the value is 0.
func (s *Sem) Take() bool { return s.take(0) }

// TakeAsleep is Take for a caller that CountSleeper has counted: if it succeeds, the caller is not
// counted any more.
func (s *Sem) TakeAsleep() bool { return s.take(oneSleeper) }

func (s *Sem) take(sleepers uint64) bool {
	for {
		d := s.memory.data.Load()
		if d&valueMask == 0 {
			return false
		}
		if s.memory.data.CompareAndSwap(d, d-1-sleepers) {
			return true
		}
	}
}

// Post adds 1 to the value, and wakes a sleeper if any is counted. At MaxValue it changes nothing
// and returns ErrOverflow.
func (s *Sem) Post() error {
	for {
		d := s.memory.data.Load()
		if d&valueMask >= MaxValue {
			return ErrOverflow
		}
		if s.memory.data.CompareAndSwap(d, d+1) {
			if d&^parityBit >= oneSleeper {
				s.Wake(1)
			}
			return nil
		}
	}
}

// CountSleeper counts one more process as asleep. While the count is not zero, every sem_post(3)
// makes a wake call. UncountSleeper takes that back.
func (s *Sem) CountSleeper()   { s.memory.data.Add(oneSleeper) }
func (s *Sem) UncountSleeper() { s.memory.data.Add(^uint64(oneSleeper - 1)) }

// Sleepers is how many processes are counted as asleep.
func (s *Sem) Sleepers() int { return int(s.memory.data.Load() &^ parityBit >> 32) }

// Add adds delta to the value and flips the parity, in one atomic step. It wakes nobody. If the
// value would fall below zero or rise above MaxValue, it changes nothing and returns ErrWouldBlock
// or ErrOverflow. A value that is above MaxValue already, because another program has written it,
// can fall.
//
// The parity is the word's highest bit. It flips with every Add and with nothing else: glibc adds
// to and subtracts from the count of sleepers below it and works unchanged with the bit set. A
// process that writes down the parity before an Add can tell afterwards whether the Add took place,
// however many C programs wait and post in between. Callers must see to it that no two Adds
// overlap.
func (s *Sem) Add(delta int) error {
	for {
		d := s.memory.data.Load()
		value := int64(d&valueMask) + int64(delta)
		switch {
		case value < 0:
			return ErrWouldBlock
		case delta > 0 && value > MaxValue:
			return ErrOverflow
		}
		if s.memory.data.CompareAndSwap(d, (d&^valueMask|uint64(value))^parityBit) {
			return nil
		}
	}
}

// Parity is the word's highest bit: see Add.
func (s *Sem) Parity() uint32 { return uint32(s.memory.data.Load() >> 63) }

// Parties is where a barrier notes its number of parties.
func (s *Sem) Parties() *atomic.Uint32 { return &s.memory.parties }

// Wake wakes up to n of the processes that sleep on the semaphore.
func (s *Sem) Wake(n int) { futex.Wake(s.Word(), n) }
