package shm

import (
	"context"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// Locks on an object's file. They belong to an open file description, and the kernel releases them
// with its last descriptor: flock(2), and open file description locks on single bytes (fcntl(2),
// F_OFD_SETLK). The two kinds do not affect each other. All functions except for Lock are bare Go.

// LockBase is the first byte that may be locked, far behind the data.
const LockBase = 1 << 40

// TryLock takes flock(LOCK_EX) if the lock is free.
func TryLock(fd int) (locked bool, err error) {
	errno := bare.Errno(bare.Sys(unix.SYS_FLOCK, uintptr(fd), unix.LOCK_EX|unix.LOCK_NB, 0, 0))
	if errno == unix.EWOULDBLOCK {
		return false, nil
	}
	return errno == 0, bare.Error(errno)
}

// TryLockOften is TryLock, repeated while other processes run. A process that holds the lock for
// microseconds gives it back in that time.
func TryLockOften(fd int) (locked bool, err error) {
	for range 50 {
		if locked, err = TryLock(fd); locked || err != nil {
			break
		}
		bare.Sys(unix.SYS_SCHED_YIELD, 0, 0, 0, 0)
	}
	return locked, err
}

// Lock takes flock(LOCK_EX) and waits for it until ctx is done. Then it returns ctx's error. After
// any error it calls failed, as soon as nothing waits for the lock any more, and says whether the
// lock came after all. In that case failed has to release it, unless it knows that the descriptor
// was closed in the meantime: its number may belong to another file, and the kernel releases the
// lock with the wait's own reference to the open file description.
func Lock(ctx context.Context, fd int, failed func(locked bool)) error {
	if locked, err := TryLockOften(fd); locked {
		return nil
	} else if err != nil {
		failed(false)
		return err
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

// Unlock releases flock(LOCK_EX).
func Unlock(fd int) { bare.Sys(unix.SYS_FLOCK, uintptr(fd), unix.LOCK_UN, 0, 0) }

// A ByteLock is a kind of lock on a byte.
type ByteLock int16

const (
	Shared    ByteLock = unix.F_RDLCK // needs a descriptor that reads
	Exclusive ByteLock = unix.F_WRLCK // needs one that writes
	Unlocked  ByteLock = unix.F_UNLCK
)

// SetLock locks or unlocks one byte. It returns EAGAIN if another open file description has a
// conflicting lock on it.
func SetLock(fd int, kind ByteLock, at int64) error { return SetLocks(fd, kind, at, 1) }

// SetLocks is SetLock for a range of bytes.
func SetLocks(fd int, kind ByteLock, start, length int64) error {
	lock := unix.Flock_t{Type: int16(kind), Start: start, Len: length}
	errno := bare.Errno(bare.Sys(unix.SYS_FCNTL, uintptr(fd), unix.F_OFD_SETLK, bare.Pointer(&lock), 0))
	if errno == unix.EACCES { // POSIX allows either
		errno = unix.EAGAIN
	}
	return bare.Error(errno)
}

// IsLocked reports whether another open file description has a lock in a range of bytes. Length 0
// means all bytes that follow.
func IsLocked(fd int, start, length int64) (bool, error) {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: start, Len: length}
	errno := bare.Errno(bare.Sys(unix.SYS_FCNTL, uintptr(fd), unix.F_OFD_GETLK, bare.Pointer(&lock), 0))
	return errno == 0 && lock.Type != unix.F_UNLCK, bare.Error(errno)
}
