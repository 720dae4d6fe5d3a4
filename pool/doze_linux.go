package pool

import (
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/poolrun/poolrun/internal/ledger"
	"golang.org/x/sys/unix"
)

// A doze is the sleep of a process in line. Most of the time nothing happens there, and for very
// many processes. Yet any living process must notice a first in line that is dead or stopped within
// two seconds. So a sleeper wakes now and then for a moment, in which it makes a few system calls:
//
//   - The sleeper for a first in line notes the time (Attended), and looks whether the pool
//     is still alive: the process that destroyed it may have died before it told anybody.
//   - Any other sleeper looks at that note. If it is old, the gate is deserted, and the sleep
//     ends.
//   - It also ends if the first in line cannot prove the end of a holder, and this process may be
//     able to (Unproven).
//
// The invariant: while anybody waits, every sleeper of the line has looked at Attended within its
// period, which depends on the number of sleepers.
//
// The Go scheduler does not hear of these moments, since waking it costs far more than the system
// calls do. To Go the whole loop is one system call, as in syscall.Syscall. So no function in it
// may need more stack. It reads and writes the ledger with pread(2) and pwrite(2): if somebody has
// truncated the file, a fault in here would end the program.
type doze struct {
	word  *atomic.Uint32 // sleeps while this word
	value uint32         // has this value,
	until int64          // and until this moment at most

	sleepers uint32 // in the line, as far as it knows

	fd        int  // the ledger
	attends   bool // for a first in line
	clock     ledger.Clock
	namespace uint32 // the pid namespace of this process

	timeout unix.Timespec
	time    unix.Timespec
	note    struct {
		attended int64
		sleepers uint32
		unproven uint32
	}
	life uint32
}

const (
	// How often the sleeper for a first in line notes the time, and when a note is old.
	attendEvery = 250 * time.Millisecond
	unattended  = 500 * time.Millisecond

	// How often other sleepers look: not more often than this, and so rarely that there is a gap
	// between the looks of any two. In a long line the gap is longer, because a few looks a second
	// suffice if only a few of those who look are alive.
	shortestPeriod = 500 * time.Millisecond
	shortestGap    = 10 * time.Millisecond  // in a line of up to 300
	longestGap     = 110 * time.Millisecond // in a line of 1,000
	// Sleepers wake at multiples of this: many wake-ups at one moment cost less than as many at
	// different moments, each of which has to wake a processor.
	together = 500 * time.Millisecond
)

// isOld reports whether a note in Attended says that the gate is deserted. A note from the future,
// in a ledger that somebody has scribbled on, says so too.
//
//go:nosplit
func isOld(now, attended int64) bool {
	return now-attended > int64(unattended) || attended-now > int64(unattended)
}

// period is how long one of so many sleepers sleeps without a look.
//
//go:nosplit
func period(sleepers uint32) int64 {
	n := int64(min(sleepers, ledger.MaxParticipants))
	gap := min(max(int64(shortestGap), n*n*int64(time.Microsecond)/9), int64(longestGap))
	return max(int64(shortestPeriod), n*gap)
}

const (
	attendedAt = unsafe.Offsetof(ledger.Ledger{}.Attended) // the rest of the note comes right after it
	lifeAt     = unsafe.Offsetof(ledger.Ledger{}.Life)
)

// A sleepEnd is what has ended a sleep.
type sleepEnd int

const (
	endWoken    sleepEnd = iota // a wake-up, or another value of the word, or no reason
	endTimeout                  // until has come
	endDeserted                 // the first in line does not attend to the gate
	endUnproven                 // a holder may be dead, and this process may be able to prove it
)

//go:nosplit
//go:norace
func (d *doze) sleep() (end sleepEnd) {
	entersyscall()
	for {
		now := d.now()
		if now >= d.until {
			end = endTimeout
			break
		}
		left := int64(attendEvery)
		if !d.attends {
			left = period(d.sleepers)
			left -= (now + left) % int64(together)
		}
		left = min(left, d.until-now)
		d.timeout = unix.Timespec{Sec: left / 1e9, Nsec: left % 1e9}
		_, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(d.word)), futexWait,
			uintptr(d.value), uintptr(unsafe.Pointer(&d.timeout)), 0, 0)
		if errno != unix.ETIMEDOUT {
			break
		}
		if now = d.now(); d.attends {
			d.note.attended = now
			d.access(unix.SYS_PWRITE64, unsafe.Pointer(&d.note), unsafe.Sizeof(d.note.attended), attendedAt)
			if !d.access(unix.SYS_PREAD64, unsafe.Pointer(&d.life), unsafe.Sizeof(d.life), lifeAt) || d.life != ledger.LifeAlive {
				break
			}
			continue
		}
		if !d.access(unix.SYS_PREAD64, unsafe.Pointer(&d.note), unsafe.Sizeof(d.note), attendedAt) ||
			isOld(now, d.note.attended) {
			end = endDeserted
			break
		}
		d.sleepers = d.note.sleepers
		if ns := d.note.unproven; ns != 0 && (ns == d.namespace || d.namespace == initialPidNamespace) {
			end = endUnproven
			break
		}
	}
	exitsyscall()
	return end
}

const futexWait = 0 // FUTEX_WAIT, linux/futex.h

//go:nosplit
//go:norace
func (d *doze) now() int64 {
	unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&d.time)), 0)
	return d.time.Sec*1e9 + d.time.Nsec - int64(d.clock)
}

//go:nosplit
//go:norace
func (d *doze) access(call uintptr, to unsafe.Pointer, length, at uintptr) bool {
	n, _, _ := unix.RawSyscall6(call, uintptr(d.fd), uintptr(to), length, at, 0, 0)
	return n == length
}

// What syscall.Syscall is made of. The runtime leaves both open to this use (runtime/proc.go).
//
//go:linkname entersyscall runtime.entersyscall
func entersyscall()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()
