// Package futex lets a process sleep on a 32-bit word of shared memory until
// another process changes it (futex(2)). Sleepers may share nothing but the
// word: these are the shared futexes, keyed by inode and offset.
package futex

import (
	"context"
	"math"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The operations of include/uapi/linux/futex.h, without FUTEX_PRIVATE_FLAG.
const (
	opWait = 0
	opWake = 1
)

// Everybody, as a number of sleepers for Wake.
const Everybody = math.MaxInt32

// Sleep blocks while *word holds old: until somebody calls Wake, until the
// word has another value, until limit has passed (0: no limit), or until ctx is
// done. It may also return for no reason at all. So it reports nothing: the
// caller looks again at what it was waiting for, and at ctx.
//
// A sleeper whose ctx ends is woken by waking everybody on the word; the others
// look again and go back to sleep.
func Sleep(ctx context.Context, word *atomic.Uint32, old uint32, limit time.Duration) {
	if ctx.Err() != nil {
		return
	}
	if ctx.Done() == nil {
		wait(word, old, limit)
		return
	}
	awake := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		// One wake-up can come too early, between the check of ctx and the
		// system call; so repeat it until the sleeper answers.
		for {
			Wake(word, Everybody)
			select {
			case <-awake:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	wait(word, old, limit)
	close(awake)
	stop()
}

// Wake wakes up to n of those who sleep on word, longest sleeper first, and
// returns how many it woke.
func Wake(word *atomic.Uint32, n int) int {
	woken, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), opWake, uintptr(n), 0, 0, 0)
	if errno != 0 { // EFAULT: the object behind the word was truncated
		return 0
	}
	return int(woken)
}

// Every outcome of the system call (woken, EAGAIN, ETIMEDOUT, EINTR, EFAULT)
// means the same to the caller of Sleep: look again.
func wait(word *atomic.Uint32, old uint32, limit time.Duration) {
	var timeout *unix.Timespec
	if limit > 0 {
		ts := unix.NsecToTimespec(int64(limit))
		timeout = &ts
	}
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), opWait, uintptr(old), uintptr(unsafe.Pointer(timeout)), 0, 0)
}
