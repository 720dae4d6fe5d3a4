package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/shm"
)

// The ledger lock is flock(2) on the ledger's file. All goroutines of an open Pool share one open
// file description, and so one lock: the turnstile comes before it.

const (
	// How long a method without a context waits for the ledger lock. It is held for microseconds.
	// If it cannot be had for that long, its owner does not move.
	lockLimit = 5 * time.Second
	// How long a waiter that gives up tries to get it, to leave the line cleanly.
	leaveLimit = 100 * time.Millisecond
)

// update runs a change of the ledger under the ledger lock. First it does what has to come before
// any change: it checks that the ledger can be one, completes or undoes a change that was cut off
// by the death of its author, reaps that author, and pays the pool's debt.
//
// It waits for the lock until ctx is done or the pool is closed or destroyed, and, if limit is not
// 0, until then. In the latter case it returns ErrStuck.
//
// A pool that was opened read-only cannot be changed: ErrPermission.
func (p *Pool) update(ctx context.Context, limit time.Duration, change func() error) error {
	if p.object.ReadOnly {
		return &Error{p.name, ErrPermission, errors.New("it was opened read-only")}
	}
	return p.locked(ctx, limit, func() error {
		if err := p.mem.Check(); err != nil {
			return err
		}
		author, err := p.mem.Mend()
		if err == nil {
			err = p.reapIfDead(author)
		}
		if err == nil {
			err = p.payDebt()
		}
		if err != nil {
			return err
		}
		return change()
	})
}

// locked runs f under the ledger lock, and nothing before it. It is the only door to the lock, and
// waits as update does.
func (p *Pool) locked(ctx context.Context, limit time.Duration, f func() error) error {
	if err := p.lock(ctx, limit); err != nil {
		return err
	}
	defer p.unlock()
	return f()
}

func (p *Pool) lock(ctx context.Context, limit time.Duration) error {
	if locked, err := p.tryLock(); locked || err != nil {
		return err
	}
	ctx, cancel := p.untilClosed(ctx)
	defer cancel()
	if limit > 0 {
		stuck := &Error{p.name, ErrStuck, fmt.Errorf("another process has held its lock for %v and may be stopped", limit)}
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, limit, stuck)
		defer stop()
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	look := time.AfterFunc(time.Second, func() { p.giveUpIfDestroyed(ctx, giveUp) })
	defer look.Stop()
	select {
	case p.turnstile <- struct{}{}:
	case <-ctx.Done():
		return cause(ctx)
	}
	err := shm.Lock(ctx, p.object.FD, p.abandonLock)
	if err != nil && ctx.Err() != nil {
		return cause(ctx)
	}
	return err
}

// untilClosed returns a context that is also done when the pool is closed.
func (p *Pool) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.open, func() { cancel(context.Cause(p.open)) })
	return ctx, func() { stop(); cancel(nil) }
}

// cause says why ctx is done, nil if it is not. Reasons of this package and a deadline are told
// apart; anything else is ctx's own error.
func cause(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); errors.As(cause, new(*Error)) || errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return err
}

// giveUpIfDestroyed ends a wait for the lock within a second of the pool's end: a pool can be
// destroyed by force without the lock.
func (p *Pool) giveUpIfDestroyed(ctx context.Context, giveUp context.CancelCauseFunc) {
	for ctx.Err() == nil {
		err := p.safely(func() error {
			if p.mem.Life.Load() == ledger.LifeDestroyed {
				return p.fail(ErrDestroyed)
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

// abandonLock ends an abandoned wait for the lock. By now the descriptor's number may be another
// file's: see Close.
func (p *Pool) abandonLock(locked bool) {
	p.descriptors.Lock()
	if locked && !p.closed {
		shm.Unlock(p.object.FD)
	}
	p.descriptors.Unlock()
	<-p.turnstile
}

// tryLock takes the ledger lock if it is free.
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

// Suspend calls stop while no goroutine of this process has the ledger lock or waits for it. A
// process that stops with the lock (SIGTSTP) holds up all others. One that stops in here holds up
// nobody and keeps its place in line. Suspend blocks without a limit.
func (p *Pool) Suspend(stop func()) {
	p.turnstile <- struct{}{}
	defer func() { <-p.turnstile }()
	stop()
}
