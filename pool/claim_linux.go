package pool

import (
	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/shm"
	"golang.org/x/sys/unix"
)

// A claim and a guard are OFD locks on one byte each of the ledger's file (fcntl(2)). The kernel
// releases them when the last descriptor of their open file description is closed: the claim when
// its process dies, the guard when the command and everything that has inherited it from there have
// died.
//
// An open pool has one claim, from its first participation on. So a program that acquires and
// releases again and again does not lock each time, which would take the longer the more others
// there are: the kernel walks all locks of a file (posix_lock_inode in fs/locks.c). Each record
// names the claim of its process. A guard belongs to one lease.
//
// The bytes are numbered by tickets, so that no two are the same: a claim by the ticket of the first
// participation, a guard by that of its own.
//
// All functions but dropClaim and listGuard are bare Go.

func claimByte(number uint64) int64 { return shm.LockBase + 2*int64(number%(1<<60)) }
func guardByte(ticket uint64) int64 { return claimByte(ticket) + 1 }

var errClaimed error = problem("another program holds locks on its ledger's file that it should not hold")

// claim locks this open pool's claim, if it has none yet, until dropClaim or the end of this
// process. The number is that of the first participation.
func (c *core) claim(number uint64) error {
	if c.claimed != 0 {
		return nil
	}
	err := shm.SetLock(c.object.FD, shm.Exclusive, claimByte(number))
	if err == unix.EAGAIN {
		err = errClaimed
	}
	if err == nil {
		c.claimed = number
	}
	return err
}

// dropClaim releases the claim: all participants of this open pool count as dead.
func (p *Pool) dropClaim() error {
	if p.claimed == 0 {
		return nil
	}
	return shm.SetLock(p.object.FD, shm.Unlocked, claimByte(p.claimed))
}

// abandon gives a participation up without the ledger lock: it counts as dead from now on.
func (c *core) abandon(h holding) {
	if h.rec.Ticket.Load() == h.id.ticket {
		h.rec.Claim.Store(0)
	}
}

// isLocked reports whether any process holds a participant's claim or guard, isClaimed whether one
// holds its claim. They ask through a descriptor that never locks, because a process's own locks do
// not show.
func (c *core) isLocked(rec *ledger.Participant) (bool, error) {
	if claimed, err := c.isClaimed(rec); claimed || err != nil {
		return claimed, err
	}
	return shm.IsLocked(c.probe, guardByte(rec.Ticket.Load()), 1)
}

func (c *core) isClaimed(rec *ledger.Participant) (bool, error) {
	number := rec.Claim.Load()
	if number == 0 {
		return false, nil
	}
	return shm.IsLocked(c.probe, claimByte(number), 1)
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
	for (fd == -int(unix.EINVAL) || fd == -int(unix.EMFILE)) && least > 0 { // RLIMIT_NOFILE is too low for that
		least /= 2
		fd = bare.Sys(unix.SYS_FCNTL, uintptr(low), unix.F_DUPFD_CLOEXEC, uintptr(least), 0)
	}
	bare.Sys(unix.SYS_CLOSE, uintptr(low), 0, 0, 0)
	return fd, bare.Error(bare.Errno(fd))
}

// lockGuard locks the guard of a lease through such a descriptor.
func lockGuard(fd int, id LeaseID) error { return shm.SetLock(fd, shm.Shared, guardByte(id.ticket)) }

// highDescriptor keeps the guard out of the way of descriptors that people number, from 3 on, and
// of those that shells take for themselves, from 10 on and from 255 downwards. It is below 64, the
// size of a new process's descriptor table: growing that table costs a process with threads an RCU
// grace period (expand_fdtable in fs/file.c).
const highDescriptor = 50

// unlockGuard unlocks the guard for all processes that have inherited it. So a daemon that the command
// has left behind holds no slot.
func unlockGuard(fd int, id LeaseID) error {
	return shm.SetLock(fd, shm.Unlocked, guardByte(id.ticket))
}

// closeGuard unlocks the guard and closes the descriptor.
func closeGuard(fd int, id LeaseID) error {
	err := unlockGuard(fd, id)
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
