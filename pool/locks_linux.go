package pool

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// The three locks, all on the ledger's file and all given back by the kernel
// when their owner dies. flock(2) locks and open file description locks
// (fcntl(2), F_OFD_SETLK) know nothing of each other.
//
// The claim and the guard of record i are one byte each, far behind the data.
const lockBase = 1 << 40

func claimByte(r ref) int64 { return lockBase + 2*int64(r-1) }
func guardByte(r ref) int64 { return claimByte(r) + 1 }

// lock takes the ledger lock: flock(LOCK_EX), and before it the lock among the
// goroutines of this process, which share one open file description. It gives
// up, with ctx's error, when ctx is done: the lock is held for microseconds, but
// whoever holds it may be stopped.
func (p *Pool) lock(ctx context.Context) error {
	select {
	case p.turnstile <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := flock(p.object.FD, unix.LOCK_EX|unix.LOCK_NB)
	if err != unix.EWOULDBLOCK {
		if err != nil {
			<-p.turnstile
		}
		return err
	}
	got := make(chan error, 1)
	go func() { got <- flock(p.object.FD, unix.LOCK_EX) }()
	select {
	case err := <-got:
		if err != nil {
			<-p.turnstile
		}
		return err
	case <-ctx.Done():
		go func() {
			if <-got == nil {
				p.unlock()
			} else {
				<-p.turnstile
			}
		}()
		return ctx.Err()
	}
}

func (p *Pool) unlock() {
	flock(p.object.FD, unix.LOCK_UN)
	<-p.turnstile
}

func flock(fd, how int) error {
	for {
		if err := unix.Flock(fd, how); err != unix.EINTR {
			return err
		}
	}
}

var errClaimed = errors.New("another program holds a lock on a free record of the ledger")

// claim locks the record for the life of this process, or until unclaim.
func (p *Pool) claim(r ref) error {
	err := setLock(p.object.FD, unix.F_WRLCK, claimByte(r))
	if err == unix.EAGAIN || err == unix.EACCES {
		return errClaimed
	}
	return err
}

func (p *Pool) unclaim(r ref) error { return setLock(p.object.FD, unix.F_UNLCK, claimByte(r)) }

// isLocked reports whether anybody holds the record's claim or its guard, and
// isClaimed whether anybody holds its claim. They ask through a descriptor that
// never locks: one's own locks would not show.
func (p *Pool) isLocked(r ref) (bool, error)  { return p.probeLocks(claimByte(r), 2) }
func (p *Pool) isClaimed(r ref) (bool, error) { return p.probeLocks(claimByte(r), 1) }

func (p *Pool) probeLocks(start, length int64) (bool, error) {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: start, Len: length}
	if err := unix.FcntlFlock(uintptr(p.probe), unix.F_OFD_GETLK, &lock); err != nil {
		return false, err
	}
	return lock.Type != unix.F_UNLCK, nil
}

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
	if err := setLock(fd, unix.F_RDLCK, guardByte(r)); err != nil {
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
	return errors.Join(setLock(fd, unix.F_UNLCK, guardByte(r)), unix.Close(fd))
}

func setLock(fd int, kind int16, at int64) error {
	lock := unix.Flock_t{Type: kind, Start: at, Len: 1}
	for {
		if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &lock); err != unix.EINTR {
			return err
		}
	}
}
