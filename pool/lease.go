package pool

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/poolrun/poolrun/internal/shm"
)

// A Lease is what a holder has: its slots, until Release or the end of the
// process. It may be used by one goroutine at a time.
type Lease struct {
	pool     *Pool
	r        ref
	ticket   uint64
	first    int   // slot
	others   []int // slots, where the weight is above 1
	waited   time.Duration
	guard    int // descriptor, -1 for none
	released atomic.Bool
}

// Slots are the numbers of the slots, ascending, each from 0 to the pool's size
// less one, and held by nobody else.
func (l *Lease) Slots() []int { return append([]int{l.first}, l.others...) }

// Waited is how long the lease was waited for.
func (l *Lease) Waited() time.Duration { return l.waited }

// Items are what the slots stand for, in the order of Slots; none where the pool
// has no items.
func (l *Lease) Items() (items []string, err error) {
	defer l.pool.explain(&err)
	defer shm.CatchFault(&err, shm.PanicOnFault())
	return l.pool.ledger.itemsOf(l.Slots()), nil
}

// Guard returns a descriptor which keeps the slots held, after the death of this
// process, for as long as any process has it open. It is for a child to inherit;
// it has the close-on-exec flag, is read-only, and belongs to the lease, which
// closes it. Release frees the slots even where a process still has it open.
func (l *Lease) Guard() (fd int, err error) {
	if l.guard < 0 {
		if l.guard, err = l.pool.openGuard(l.r); err != nil {
			return -1, l.pool.fail(ErrRefused, err)
		}
	}
	return l.guard, nil
}

// Started says that the lease is held for a child of this process, which runs
// and was not waited for. Status shows its pid; and if this process dies, the
// slots stay held while the child lives, even if it closes the guard.
func (l *Lease) Started(pid int) (err error) {
	defer l.pool.explain(&err)
	defer shm.CatchFault(&err, shm.PanicOnFault())
	rec := l.pool.ledger.at(l.r)
	rec.commandSeen.Store(now())
	rec.commandPID.Store(int32(pid))
	return nil
}

// Release gives the slots back and wakes who is next. Where that fails, the
// slots are left to the dead, and will be taken back like theirs. Releasing a
// lease twice is a mistake of the program, and panics.
func (l *Lease) Release() error {
	if l.released.Swap(true) {
		panic("pool: lease released twice")
	}
	p := l.pool
	var guardErr error
	if l.guard >= 0 {
		guardErr = closeGuard(l.guard, l.r)
	}
	return errors.Join(p.orStuck(p.depart(lockWithin, l.r, l.ticket, give, released)), guardErr)
}

func (l *Lease) isHeld() bool {
	rec := l.pool.ledger.at(l.r)
	return rec.state.Load() == held && rec.ticket.Load() == l.ticket
}
