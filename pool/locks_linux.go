package pool

import (
	"context"
	"errors"
	"time"

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
// stopped. Then it also gives up when the pool is destroyed, which can be done by force
// without the lock.
func (p *Pool) lock(ctx context.Context) error {
	if locked, err := p.tryLock(); locked || err != nil {
		return err
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	look := time.AfterFunc(time.Second, func() { p.giveUpIfDestroyed(ctx, giveUp) })
	defer look.Stop()
	select {
	case p.turnstile <- struct{}{}:
	case <-ctx.Done():
		return why(ctx)
	}
	err := shm.Lock(ctx, p.object.FD, p.abandonLock)
	if err != nil && ctx.Err() != nil {
		return why(ctx)
	}
	return err
}

// giveUpIfDestroyed ends a wait for the lock, now or within a second of the pool's
// end.
func (p *Pool) giveUpIfDestroyed(ctx context.Context, giveUp context.CancelCauseFunc) {
	for ctx.Err() == nil {
		err := p.safely(func() error {
			if p.ledger.life.Load() == destroyed {
				return p.fail(ErrDestroyed, nil)
			}
			return nil
		})
		if err != nil {
			giveUp(err)
			return
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// abandonLock ends a wait for the lock that nobody waits for any more. By now the
// descriptor's number may be somebody else's: see Close.
func (p *Pool) abandonLock(locked bool) {
	p.descriptors.Lock()
	if locked && !p.closed {
		shm.Unlock(p.object.FD)
	}
	p.descriptors.Unlock()
	<-p.turnstile
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

// Pause calls stop while no goroutine of this process has the pool's lock, or waits
// for it. A process that stops with it (SIGTSTP) holds up everybody else; one that
// stops in here holds up nobody, and keeps its place in line.
func (p *Pool) Pause(stop func()) {
	p.turnstile <- struct{}{}
	defer func() { <-p.turnstile }()
	stop()
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

// dropLocks gives up all claims of this open pool at once.
func (p *Pool) dropLocks() error {
	return shm.SetLocks(p.object.FD, shm.Unlocked, claimByte(1), 2*MaxParticipants)
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

func unlockGuard(fd int, r ref) error { return shm.SetLock(fd, shm.Unlocked, guardByte(r)) }

// addGuard and removeGuard keep the list of guards for Close.
func (p *Pool) addGuard(l *Lease) {
	p.descriptors.Lock()
	p.guards[l] = true
	p.descriptors.Unlock()
}

func (p *Pool) removeGuard(l *Lease) {
	p.descriptors.Lock()
	delete(p.guards, l)
	p.descriptors.Unlock()
}
