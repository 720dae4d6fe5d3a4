// Package futex lets a process sleep on a 32-bit word of shared memory until another process
// changes it (futex(2)). The processes need not share anything but the word: these are shared
// futexes, which the kernel identifies by inode and offset.
package futex

import (
	"context"
	"math"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// The operations of include/uapi/linux/futex.h, without FUTEX_PRIVATE_FLAG.
const (
	opWait = 0
	opWake = 1
)

// Everybody is a number of sleepers for Wake: all of them.
const Everybody = math.MaxInt32

// Sleep blocks while *word is old: until Wake is called, until the word has another value, until
// limit has passed (0: no limit), or until ctx is done. It may also return for no reason. So it
// reports nothing, and the caller looks again at what it waits for, and at ctx.
//
// When ctx is done, Sleep wakes everybody on the word. The others look and go back to sleep.
func Sleep(ctx context.Context, word *atomic.Uint32, old uint32, limit time.Duration) {
	if ctx.Err() != nil {
		return
	}
	if ctx.Done() == nil {
		wait(word, old, limit)
		return
	}
	awake := make(chan struct{})
	var asleep atomic.Pointer[atomic.Uint32]
	asleep.Store(word)
	stop := context.AfterFunc(ctx, func() { WakeUntil(awake, &asleep) })
	wait(word, old, limit)
	close(awake)
	stop()
}

// WakeUntil wakes everybody who sleeps on a word, again and again until awake is closed: a single
// wake-up can come just before the sleep. The word may change, and may be nil.
func WakeUntil(awake <-chan struct{}, word *atomic.Pointer[atomic.Uint32]) {
	for {
		if w := word.Load(); w != nil {
			Wake(w, Everybody)
		}
		select {
		case <-awake:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// Wake wakes up to n of the processes that sleep on word, the longest sleeper first. It returns how
// many it has woken. It is bare Go.
func Wake(word *atomic.Uint32, n int) int {
	// EFAULT: the object behind the word was truncated.
	return max(bare.Sys(unix.SYS_FUTEX, bare.Pointer(word), opWake, uintptr(n), 0), 0)
}

// wait ignores the outcome of the system call. Each of them (woken, EAGAIN, ETIMEDOUT, EINTR,
// EFAULT) means the same to the caller of Sleep: look again.
func wait(word *atomic.Uint32, old uint32, limit time.Duration) {
	var timeout *unix.Timespec
	if limit > 0 {
		ts := unix.NsecToTimespec(int64(limit))
		timeout = &ts
	}
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), opWait, uintptr(old), uintptr(unsafe.Pointer(timeout)), 0, 0)
}
