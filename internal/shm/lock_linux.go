package shm

import (
	"context"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Locks on an object's file. They belong to an open file description, and the kernel releases them
// with its last descriptor: flock(2), and open file description locks on single bytes (fcntl(2),
// F_OFD_SETLK). The two kinds do not affect each other. System calls that cannot block are raw: the
// Go scheduler need not hear of them.

// LockBase is the first byte that may be locked, far behind the data.
const LockBase = 1 << 40

// TryLock takes flock(LOCK_EX) if the lock is free.
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

// Lock takes flock(LOCK_EX) and waits for it until ctx is done. Then it returns ctx's error. After
// any error it calls failed, as soon as nothing waits for the lock any more, and says whether the
// lock came after all. In that case failed has to release it, unless it knows that the descriptor
// was closed in the meantime: its number may belong to another file, and the kernel releases the
// lock with the wait's own reference to the open file description.
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

// yields is how often Lock lets other processes run before it waits in a thread of its own. A
// process that holds the lock for microseconds needs no more.
const yields = 50

// Unlock releases flock(LOCK_EX).
func Unlock(fd int) { unix.RawSyscall(unix.SYS_FLOCK, uintptr(fd), unix.LOCK_UN, 0) }

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
	_, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_OFD_SETLK, uintptr(unsafe.Pointer(&lock)))
	switch errno {
	case 0:
		return nil
	case unix.EACCES: // POSIX allows either
		return unix.EAGAIN
	}
	return errno
}

// IsLocked reports whether another open file description has a lock in a range of bytes. Length 0
// means all bytes that follow.
func IsLocked(fd int, start, length int64) (bool, error) {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: start, Len: length}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &lock); err != nil {
		return false, err
	}
	return lock.Type != unix.F_UNLCK, nil
}
