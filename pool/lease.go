package pool

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Lease is what a holder has: its slots, until Release or the end of the process.
// After Release its methods change nothing and return ErrReleased; after the pool was
// closed, ErrClosed.
type Lease struct {
	pool   *Pool
	r      ref
	ticket uint64
	first  int   // slot
	others []int // slots, where the weight is above 1
	waited time.Duration

	mutex    sync.Mutex
	guard    int // descriptor, -1 for none
	released bool
}

// Slots are the numbers of the slots, each from 0 to the pool's size less one, and
// held by nobody else.
func (l *Lease) Slots() []int { return append([]int{l.first}, l.others...) }

// Waited is how long the lease was waited for.
func (l *Lease) Waited() time.Duration { return l.waited }

// Items are what the slots stand for, in the order of Slots; none where the pool
// has no items.
func (l *Lease) Items() (items []string, err error) {
	err = l.use(func() error {
		items = l.pool.ledger.itemsOf(l.Slots())
		return nil
	})
	return items, err
}

// use runs f while the lease and its pool are open. Everything in here that touches
// the record or a descriptor does it so: both are somebody else's afterwards.
func (l *Lease) use(f func() error) error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.released {
		return l.pool.fail(ErrReleased, nil)
	}
	return l.pool.use(f)
}

// Guard returns a descriptor which keeps the slots held, after the death of this
// process, for as long as any process has it open. It is for a child to inherit;
// it has the close-on-exec flag, is read-only, and belongs to the lease, which
// closes it. Release frees the slots even where a process still has it open.
func (l *Lease) Guard() (fd int, err error) {
	err = l.use(func() (err error) {
		if l.guard >= 0 {
			return nil
		}
		guard, err := l.pool.openGuard(l.r)
		if err != nil {
			return err
		}
		l.guard = guard
		l.pool.addGuard(l)
		l.pool.ledger.at(l.r).guarded.Store(1)
		return nil
	})
	if err != nil {
		return -1, err
	}
	return l.guard, nil
}

// CommandPID is the place in the pool's memory for the pid of the child that the
// lease is held for. Whoever starts the child can let it write its own pid there
// before it becomes the command: so there is no moment in which it runs and is not
// known. It must not be touched after Release; and touching it can raise SIGBUS if
// somebody truncates the pool's file.
func (l *Lease) CommandPID() (place *atomic.Int32, err error) {
	err = l.use(func() error {
		place = &l.pool.ledger.at(l.r).commandPID
		return nil
	})
	return place, err
}

// Started says that the lease is held for a child of this process, which runs
// and was not waited for. Status shows its pid; and if this process dies, the
// slots stay held while the child lives, even if it closes the guard.
func (l *Lease) Started(pid int) error {
	return l.use(func() error {
		rec := l.pool.ledger.at(l.r)
		rec.commandPID.Store(int32(pid))
		rec.commandSeen.Store(ticks())
		return nil
	})
}

// CheckGuard reports whether the child has the guard open, as far as can be seen. A child
// that has closed it, as sudo does, shows no more by the guard that it lives: from then on
// a process that cannot see the child's pid, in another pid namespace, takes the slots for
// held. It is for the parent to call now and then, after Started.
func (l *Lease) CheckGuard() (open bool, err error) {
	err = l.use(func() error {
		rec := l.pool.ledger.at(l.r)
		open = l.guard >= 0 && l.pool.isOpenIn(rec.commandPID.Load(), l.guard)
		if !open {
			rec.guarded.Store(0)
		}
		return nil
	})
	return open, err
}

// Release gives the slots back and wakes who is next. If that fails, the slots are
// left to the dead, and will be taken back like theirs.
func (l *Lease) Release() error {
	return l.use(func() error {
		l.released = true
		p := l.pool
		return errors.Join(l.closeGuard(), p.orStuck(p.depart(lockWithin, l.r, l.ticket, give, released)))
	})
}

// closeGuard unlocks the guard, also for those who inherited its descriptor: a daemon
// that the command left behind holds no slot.
func (l *Lease) closeGuard() error {
	if l.guard < 0 {
		return nil
	}
	l.pool.removeGuard(l)
	err := unlockGuard(l.guard, l.r)
	return errors.Join(err, unix.Close(l.guard))
}

// isHeld reports whether the record is still this lease's.
func (l *Lease) isHeld() bool {
	rec := l.pool.ledger.at(l.r)
	return rec.state.Load() == held && rec.ticket.Load() == l.ticket
}
