package pool

import (
	"context"

	"github.com/poolrun/poolrun/internal/futex"
	"github.com/poolrun/poolrun/internal/ledger"
	"golang.org/x/sys/unix"
)

// A command can hold more than one lease: a build does that runs several jobs, each in a slot of its
// own (internal/jobserver). The first is an ordinary lease. Each of the others is acquired as an
// extension of it, in its own turn, and can be released before it.
//
// The command cannot inherit a guard for each, because it runs already when they are acquired. So they
// are all locked on the open file description whose descriptor it has inherited: GuardBy. When that
// is closed for the last time, the kernel releases all of them at once.

// Extending makes the slots an extension of a lease on the same pool: Status shows them as that lease's,
// and a nested call runs in that lease. In line, an extension stands behind all requests of the same
// priority that are none. It has to be released by itself.
func Extending(id LeaseID) Option {
	return func(r request) request { r.extends = id.ticket; return r }
}

// GuardBy makes a descriptor of OpenGuard, or one that Guard has returned for another lease of the
// same pool, keep the slots held, as Guard does. The lease must have no guard yet. It does not own the
// descriptor, which has to stay open until Release.
func (l *Lease) GuardBy(fd int) error {
	return l.use(func() error {
		if err := lockGuard(fd, l.id); err != nil {
			return err
		}
		l.guard, l.isShared = fd, true
		l.rec.Guarded.Store(1)
		return nil
	})
}

// OpenGuard returns a descriptor for GuardBy, for a child to inherit. It is read-only and has the
// close-on-exec flag. The caller has to close it.
func (p *Pool) OpenGuard() (fd int, err error) {
	fd = -1
	err = p.use(func() (err error) {
		fd, err = p.openGuard()
		return err
	})
	return fd, err
}

// CloseGuard closes a descriptor of OpenGuard.
func CloseGuard(fd int) error { return unix.Close(fd) }

// IsNeeded reports whether others need slots that this Pool's leases hold: a request of another Pool
// waits that was not set aside and is not held back, or a foreign program does, or the pool has shrunk
// and not all of its slots were given back yet. It blocks for a moment if the ledger lock is taken.
func (p *Pool) IsNeeded() (needed bool, err error) {
	err = p.use(func() error {
		if needed = p.isOwed(); needed || !p.mem.HasLine() {
			return nil
		}
		return p.update(p.open, lockLimit, func() error {
			walk := p.mem.Turns()
			for !needed && walk.Next() && !walk.HeldBack {
				needed = walk.Aside.Load() == 0 && walk.Claim.Load() != p.claimed
			}
			return walk.Err
		})
	})
	return needed, err
}

// MayBeNeeded reports whether IsNeeded may return true now. It takes no lock.
func (p *Pool) MayBeNeeded() (may bool) {
	p.use(func() error {
		may = p.isOwed() || p.mem.HasLine()
		return nil
	})
	return may
}

// isOwed reports whether slots are needed by somebody who does not stand in line.
func (p *Pool) isOwed() bool {
	return p.mem.Debt() > 0 || p.mem.HasForeignSleeper() && p.mem.Gate.Value() == 0
}

// Room is how many slots no long-lived lease holds: see LongLived.
func (p *Pool) Room() (n int, err error) {
	err = p.use(func() error {
		return p.update(p.open, lockLimit, func() error {
			n = max(p.mem.Size()-p.mem.LongHeld(), 0)
			return nil
		})
	})
	return n, err
}

// IsClosing reports whether no request will be admitted any more: the pool is being drained, or was
// destroyed or closed.
func (p *Pool) IsClosing() bool {
	isClosing := true
	p.use(func() error {
		isClosing = p.mem.Drainer() != 0 || p.mem.Life.Load() != ledger.LifeAlive
		return nil
	})
	return isClosing
}

// Arrivals is a number that goes up when a request comes to the line, when a long-lived lease begins or
// ends, and when the size changes. IsNeeded and Room can return something else from then on.
func (p *Pool) Arrivals() (n uint32, err error) {
	err = p.use(func() error {
		n = p.mem.Arrivals.Load()
		return nil
	})
	return n, err
}

// AwaitArrival blocks while Arrivals is n and ctx is not done. It may return for no reason.
func (p *Pool) AwaitArrival(ctx context.Context, n uint32) error {
	return p.use(func() error {
		ctx, cancel := p.untilClosed(ctx)
		defer cancel()
		futex.Sleep(ctx, &p.mem.Arrivals, n, 0)
		return cause(ctx)
	})
}
