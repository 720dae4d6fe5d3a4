package pool

import (
	"context"
	"errors"

	"github.com/poolrun/poolrun/internal/shm"
	"golang.org/x/sys/unix"
)

// The three locks, all on the ledger's file and all given back by the kernel
// when their owner dies. The claim and the guard of a record are one byte each.

func claimByte(r ref) int64 { return shm.LockBase + 2*int64(r-1) }
func guardByte(r ref) int64 { return claimByte(r) + 1 }

// lock takes the ledger lock, and before it the lock among the goroutines of this
// process, which share one open file description. It gives up, with ctx's error,
// when ctx is done: the lock is held for microseconds, but whoever holds it may be
// stopped.
func (p *Pool) lock(ctx context.Context) error {
	if locked, err := p.tryLock(); locked || err != nil {
		return err
	}
	select {
	case p.turnstile <- struct{}{}:
		return shm.Lock(ctx, p.object.FD, func() { <-p.turnstile })
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tryLock takes the ledger lock if nobody has it.
func (p *Pool) tryLock() (locked bool, err error) {
	select {
	case p.turnstile <- struct{}{}:
		if locked, err = shm.TryLock(p.object.FD); !locked {
			<-p.turnstile
		}
		return locked, err
	default:
		return false, nil
	}
}

func (p *Pool) unlock() {
	shm.Unlock(p.object.FD)
	<-p.turnstile
}

var errClaimed = errors.New("another program holds a lock on a free record of the ledger")

// claim locks the record for the life of this process, or until unclaim.
func (p *Pool) claim(r ref) error {
	err := shm.SetLock(p.object.FD, shm.Exclusive, claimByte(r))
	if err == unix.EAGAIN {
		return errClaimed
	}
	return err
}

func (p *Pool) unclaim(r ref) error { return shm.SetLock(p.object.FD, shm.Unlocked, claimByte(r)) }

// isLocked reports whether anybody holds the record's claim or its guard, and
// isClaimed whether anybody holds its claim. They ask through a descriptor that
// never locks: one's own locks would not show.
func (p *Pool) isLocked(r ref) (bool, error)  { return shm.IsLocked(p.probe, claimByte(r), 2) }
func (p *Pool) isClaimed(r ref) (bool, error) { return shm.IsLocked(p.probe, claimByte(r), 1) }

// openGuard makes the descriptor that the command inherits, with the guard
// locked: read-only, so that the command cannot write to the ledger through it,
// and numbered high, out of the way of the descriptors that shells number.
func (p *Pool) openGuard(r ref) (int, error) {
	low, err := p.object.Reopen(unix.O_RDONLY)
	if err != nil {
		return -1, err
	}
	defer unix.Close(low)
	least := highDescriptor
	fd, err := unix.FcntlInt(uintptr(low), unix.F_DUPFD_CLOEXEC, least)
	for err == unix.EINVAL && least > 0 { // RLIMIT_NOFILE is lower than that
		least /= 2
		fd, err = unix.FcntlInt(uintptr(low), unix.F_DUPFD_CLOEXEC, least)
	}
	if err != nil {
		return -1, err
	}
	if err := shm.SetLock(fd, shm.Shared, guardByte(r)); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Out of the way of descriptors that are numbered by hand, from 3 on, and of those
// that shells take for themselves, from 10 on and downwards from 255; and below
// 64: a process starts with a table of so many descriptors, and to make it grow
// costs a process with threads an RCU grace period, 10 to 20 ms (expand_fdtable
// in fs/file.c).
const highDescriptor = 50

// closeGuard unlocks the guard, also for those who inherited its descriptor: a
// daemon that the command left behind holds no slot.
func closeGuard(fd int, r ref) error {
	return errors.Join(shm.SetLock(fd, shm.Unlocked, guardByte(r)), unix.Close(fd))
}
