package shm

import (
	"context"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Locks on an object's file, all given back by the kernel when their owner dies:
// flock(2), which has no owner but the open file description, and open file
// description locks on single bytes (fcntl(2), F_OFD_SETLK). They know nothing of
// each other. Calls that cannot block are raw ones: the Go scheduler need not know.

// LockBase is where the bytes begin that one may lock: far behind the data.
const LockBase = 1 << 40

// TryLock takes flock(LOCK_EX) if nobody has the lock.
func TryLock(fd int) (locked bool, err error) {
	_, _, errno := unix.RawSyscall(unix.SYS_FLOCK, uintptr(fd), unix.LOCK_EX|unix.LOCK_NB, 0)
	switch errno {
	case 0:
		return true, nil
	case unix.EWOULDBLOCK:
		return false, nil
	}
	return false, errno
}

// Lock takes flock(LOCK_EX), and waits for it. It gives up, with ctx's error, when
// ctx is done. Then, and after any other error, it calls failed, as soon as nothing
// waits for the lock any more, and tells it whether the lock came after all. Then
// failed has to give it back, unless it knows that the descriptor was closed in the
// meantime: the number may be somebody else's, and the kernel gives the lock back with
// the last reference to the open file description, which was the wait's.
func Lock(ctx context.Context, fd int, failed func(locked bool)) error {
	for range yields {
		if locked, err := TryLock(fd); locked || err != nil {
			if err != nil {
				failed(false)
			}
			return err
		}
		unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
	got := make(chan error, 1)
	go func() { got <- retry(func() error { return unix.Flock(fd, unix.LOCK_EX) }) }()
	select {
	case err := <-got:
		if err != nil {
			failed(false)
		}
		return err
	case <-ctx.Done():
		go func() { failed(<-got == nil) }()
		return ctx.Err()
	}
}

// Who holds the lock for microseconds needs no more than to run. To wait for it in a
// thread of its own, which ctx cannot end, costs more than that.
const yields = 50

// Unlock gives it back.
func Unlock(fd int) { unix.RawSyscall(unix.SYS_FLOCK, uintptr(fd), unix.LOCK_UN, 0) }

// A ByteLock is a kind of lock on a byte.
type ByteLock int16

const (
	Shared    ByteLock = unix.F_RDLCK // needs a descriptor that reads
	Exclusive ByteLock = unix.F_WRLCK // needs one that writes
	Unlocked  ByteLock = unix.F_UNLCK
)

// SetLock locks or unlocks one byte, or returns EAGAIN where another open file
// description has a lock on it that does not go with this one.
func SetLock(fd int, kind ByteLock, at int64) error { return SetLocks(fd, kind, at, 1) }

// SetLocks is SetLock for a range of bytes.
func SetLocks(fd int, kind ByteLock, start, length int64) error {
	lock := unix.Flock_t{Type: int16(kind), Start: start, Len: length}
	_, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_OFD_SETLK, uintptr(unsafe.Pointer(&lock)))
	switch errno {
	case 0:
		return nil
	case unix.EACCES: // POSIX allows either
		return unix.EAGAIN
	}
	return errno
}

// IsLocked reports whether another open file description has a lock in a range of
// bytes; length 0 means all that follow.
func IsLocked(fd int, start, length int64) (bool, error) {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: start, Len: length}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &lock); err != nil {
		return false, err
	}
	return lock.Type != unix.F_UNLCK, nil
}
