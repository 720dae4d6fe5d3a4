package pool

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A doze is the sleep of a process in line. Most of the time nothing happens there,
// for very many processes; yet a line whose first is dead or stopped must be noticed
// within two seconds by whoever is alive. So a sleeper wakes now and then for an
// instant, in which it does no more than a few system calls:
//
//   - The sleeper for a first in line notes the time (attended), and looks whether the
//     pool is still alive: whoever destroyed it may have died before it told anybody.
//   - Any other looks at that note. If it is old, the gate is deserted, and the sleep
//     ends.
//
// The invariant: whenever somebody waits, every sleeper of the line has looked at
// attended within its period, which depends on how many sleepers there are (see
// period).
//
// Go is not told of these moments: to wake the scheduler with all that belongs to it
// costs ten times as much. The whole loop is one system call to it, as in
// syscall.Syscall; so no function in it may need more stack. And the ledger is read
// and written with pread(2) and pwrite(2), for a fault here, in a file that somebody
// has truncated, would end the program.
type doze struct {
	word  *atomic.Uint32 // sleeps while this
	value uint32         // has this value
	until int64          // wakes at this moment, see now

	sleepers uint32 // in the line, as far as it knows

	fd         int   // the ledger
	attends    bool  // for a first in line
	bootOffset int64 // see now

	timeout unix.Timespec
	clock   unix.Timespec
	note    struct {
		attended int64
		sleepers uint32
	}
	life uint32
}

const (
	// How often the sleeper of a first in line notes the time, and when a note is old.
	attendEvery = 250 * time.Millisecond
	unattended  = 500 * time.Millisecond

	// How often other sleepers look: not more often than this, and so rarely that all
	// together look so many times a second.
	shortestPeriod = 500 * time.Millisecond
	looksPerSecond = 100
	// Sleepers wake at multiples of this: many at one moment cost less than one after
	// the other, for each of which a processor has to wake.
	together = 500 * time.Millisecond
	// Up to so many sleepers a first in line that is dead or stopped is noticed by any
	// one of the others within two seconds.
	promptSleepers = 150
)

// isOld reports whether a note of attended says that the gate is deserted. One from the
// future, in a ledger that somebody scribbled on, says so too.
//
//go:nosplit
func isOld(now, attended int64) bool {
	return now-attended > int64(unattended) || attended-now > int64(unattended)
}

// period is how long one of so many sleepers sleeps without a look.
//
//go:nosplit
func period(sleepers uint32) int64 {
	return max(int64(shortestPeriod), int64(min(sleepers, MaxParticipants))*(int64(time.Second)/looksPerSecond))
}

const (
	attendedAt = unsafe.Offsetof(ledger{}.attended)
	lifeAt     = unsafe.Offsetof(ledger{}.life)
)

// An end is what has ended a sleep.
type end int

const (
	woken          end = iota // or the word has another value, or for no reason
	timeIsUp                  // until has come
	gateIsDeserted            // the first in line does not attend to it
)

//go:nosplit
//go:norace
func (d *doze) sleep() (end end) {
	entersyscall()
	for {
		now := d.now()
		if now >= d.until {
			end = timeIsUp
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
			if !d.access(unix.SYS_PREAD64, unsafe.Pointer(&d.life), unsafe.Sizeof(d.life), lifeAt) || d.life != alive {
				break
			}
			continue
		}
		if !d.access(unix.SYS_PREAD64, unsafe.Pointer(&d.note), unsafe.Sizeof(d.note), attendedAt) ||
			isOld(now, d.note.attended) {
			end = gateIsDeserted
			break
		}
		d.sleepers = d.note.sleepers
	}
	exitsyscall()
	return end
}

const futexWait = 0 // FUTEX_WAIT, linux/futex.h

//go:nosplit
//go:norace
func (d *doze) now() int64 {
	unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&d.clock)), 0)
	return d.clock.Sec*1e9 + d.clock.Nsec - d.bootOffset
}

//go:nosplit
//go:norace
func (d *doze) access(call uintptr, to unsafe.Pointer, length, at uintptr) bool {
	n, _, _ := unix.RawSyscall6(call, uintptr(d.fd), uintptr(to), length, at, 0, 0)
	return n == length
}

// What syscall.Syscall is made of; both are open to this use ("hall of shame" in
// runtime/proc.go).
//
//go:linkname entersyscall runtime.entersyscall
func entersyscall()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()
