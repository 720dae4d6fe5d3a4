package pool

import (
	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/shm"
	"golang.org/x/sys/unix"
)

// The claim and the guard of a record are OFD locks on one byte each of the ledger's file
// (fcntl(2)). The kernel releases them when the last descriptor of their open file description is
// closed: the claim when its process dies, the guard when the command and everything that has
// inherited it from there have died.
//
// All functions but dropClaims and listGuard are bare Go.

func claimByte(r ledger.Ref) int64 { return shm.LockBase + 2*int64(r-1) }
func guardByte(r ledger.Ref) int64 { return claimByte(r) + 1 }

var errClaimed error = problem("another program holds a lock on a free record of its ledger")

// claim locks the record until unclaim or the end of this process.
func (c *core) claim(r ledger.Ref) error {
	err := shm.SetLock(c.object.FD, shm.Exclusive, claimByte(r))
	if err == unix.EAGAIN {
		return errClaimed
	}
	return err
}

func (c *core) unclaim(r ledger.Ref) error {
	return shm.SetLock(c.object.FD, shm.Unlocked, claimByte(r))
}

// dropClaims releases all claims of this open pool at once.
func (p *Pool) dropClaims() error {
	return shm.SetLocks(p.object.FD, shm.Unlocked, claimByte(1), 2*ledger.MaxParticipants)
}

// isLocked reports whether any process holds the record's claim or guard, isClaimed whether one
// holds its claim. They ask through a descriptor that never locks, because a process's own locks do
// not show.
func (c *core) isLocked(r ledger.Ref) (bool, error) { return shm.IsLocked(c.probe, claimByte(r), 2) }
func (c *core) isClaimed(r ledger.Ref) (bool, error) {
	return shm.IsLocked(c.probe, claimByte(r), 1)
}

// openGuard makes the descriptor that the command inherits. It is read-only, so that the command
// cannot write to the ledger through it.
func (c *core) openGuard() (fd int, err error) {
	low, err := c.object.Reopen(unix.O_RDONLY)
	if err != nil {
		return -1, err
	}
	least := highDescriptor
	fd = bare.Sys(unix.SYS_FCNTL, uintptr(low), unix.F_DUPFD_CLOEXEC, uintptr(least), 0)
	for fd == -int(unix.EINVAL) && least > 0 { // RLIMIT_NOFILE is lower than that
		least /= 2
		fd = bare.Sys(unix.SYS_FCNTL, uintptr(low), unix.F_DUPFD_CLOEXEC, uintptr(least), 0)
	}
	bare.Sys(unix.SYS_CLOSE, uintptr(low), 0, 0, 0)
	return fd, bare.Error(bare.Errno(fd))
}

// lockGuard locks the guard of a record through such a descriptor.
func lockGuard(fd int, r ledger.Ref) error { return shm.SetLock(fd, shm.Shared, guardByte(r)) }

// highDescriptor keeps the guard out of the way of descriptors that people number, from 3 on, and
// of those that shells take for themselves, from 10 on and from 255 downwards. It is below 64, the
// size of a new process's descriptor table: growing that table costs a process with threads an RCU
// grace period (expand_fdtable in fs/file.c).
const highDescriptor = 50

// closeGuard unlocks the guard for all processes that have inherited it, and closes it. So a daemon
// that the command has left behind holds no slot.
func closeGuard(fd int, r ledger.Ref) error {
	err := shm.SetLock(fd, shm.Unlocked, guardByte(r))
	if closed := bare.Sys(unix.SYS_CLOSE, uintptr(fd), 0, 0, 0); err == nil {
		err = bare.Error(bare.Errno(closed))
	}
	return err
}

// listGuard notes whether Close has to close a lease's guard.
func (p *Pool) listGuard(l *Lease, isOpen bool) {
	p.descriptors.Lock()
	defer p.descriptors.Unlock()
	if isOpen {
		p.guards[l] = true
	} else {
		delete(p.guards, l) // a pool may be open for very many leases
	}
}
