package pool

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/poolrun/poolrun/internal/crash"
	"github.com/poolrun/poolrun/internal/ledger"
	"golang.org/x/sys/unix"
)

// A Lease is what a holder has: its slots, until Release or the end of the process. After Release
// its methods change nothing and return ErrReleased, and after the pool was closed ErrClosed.
type Lease struct {
	holding
	pool   *Pool
	slots  []int
	items  []string
	waited time.Duration

	mutex    sync.Mutex
	guard    int  // descriptor, -1 for none
	isShared bool // the descriptor belongs to the caller of GuardBy
	released bool
}

// Slots are the numbers of the slots, in ascending order. Each is from 0 to the pool's size less
// one, and no other holder has it.
func (l *Lease) Slots() []int { return slices.Clone(l.slots) }

// Waited is how long the lease was waited for.
func (l *Lease) Waited() time.Duration { return l.waited }

// Items are what the slots stand for, in the order of Slots, or none if the pool has no items.
func (l *Lease) Items() []string { return slices.Clone(l.items) }

// use runs f while the lease and its pool are open. Afterwards the record and the descriptors may
// belong to others.
func (l *Lease) use(f func() error) error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.released {
		return l.pool.fail(ErrReleased)
	}
	return l.pool.use(f)
}

// Guard returns a descriptor that keeps the slots held, after the death of this process, for as
// long as any process has it open. It is made for a child to inherit: it is read-only and has the
// close-on-exec flag. It belongs to the lease, which closes it. Release frees the slots even if a
// process still has the descriptor open.
func (l *Lease) Guard() (fd int, err error) {
	err = l.use(func() (err error) {
		if l.guard >= 0 {
			return nil
		}
		fd, err := l.pool.openGuard()
		if err != nil {
			return err
		}
		if err := lockGuard(fd, l.id); err != nil {
			unix.Close(fd)
			return err
		}
		l.guard = fd
		l.pool.listGuard(l, true)
		l.rec.Guarded.Store(1)
		return nil
	})
	if err != nil {
		return -1, err
	}
	return l.guard, nil
}

// CommandPID is the place in shared memory for the pid of the child that the lease is held for. The
// child can write its pid there before it becomes the command (clone(2), CLONE_PARENT_SETTID): then
// there is no moment at which the command runs and is not known. The place must not be touched
// after Release. Touching it raises SIGBUS if somebody has truncated the pool's file.
func (l *Lease) CommandPID() (place *atomic.Int32, err error) {
	err = l.use(func() error {
		place = &l.rec.CommandPID
		return nil
	})
	return place, err
}

// SetCommandPID notes the process that the lease is held for: a child of this process, which is
// running and has not been waited for, or this process itself, if it is about to exec a command.
// Status shows its pid. When this process dies or execs, the slots stay held while that process
// lives, even if it has closed the guard.
func (l *Lease) SetCommandPID(pid int) error {
	return l.use(func() error {
		l.pool.setCommand(l.rec, int32(pid))
		return nil
	})
}

// CheckGuard reports whether the child has the guard open, as far as can be seen, and notes it if
// not. After a child has closed the guard, as sudo does, the guard does not prove anything about
// its life any more: a process in another pid namespace, which cannot see the child's pid, then
// takes the slots for held. The parent should call CheckGuard now and then, after SetCommandPID.
func (l *Lease) CheckGuard() (open bool, err error) {
	err = l.use(func() error {
		open = l.guard >= 0 && l.pool.isOpenIn(l.rec.CommandPID.Load(), l.guard)
		if !open {
			l.rec.Guarded.Store(0)
		}
		return nil
	})
	return open, err
}

// Release gives the slots back and wakes the next in line. If that fails, the slots are taken back
// as those of a dead holder.
func (l *Lease) Release() error {
	return l.use(func() error {
		l.released = true
		var err error
		switch {
		case l.isShared:
			err = unlockGuard(l.guard, l.id)
			crash.Point("guard unlocked")
		case l.guard >= 0:
			l.pool.listGuard(l, false)
			err = closeGuard(l.guard, l.id)
		}
		return errors.Join(err, l.pool.endParticipation(lockLimit, l.holding, ledger.OpGive, ledger.CountReleased))
	})
}
