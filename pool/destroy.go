package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/poolrun/poolrun/gate"
	"github.com/poolrun/poolrun/internal/futex"
	"github.com/poolrun/poolrun/internal/shm"
)

// Destroy removes a pool that nobody uses: ErrInUse, with nothing changed, where
// somebody holds a slot or waits for one, a program that shares its semaphore included;
// ErrRefused where the caller is neither the pool's owner nor root.
func (p *Pool) Destroy() error {
	return p.use(func() error {
		if err := p.mayRemove(); err != nil {
			return err
		}
		return p.orStuck(p.afterReaping(func() error {
			if err := p.reapAll(); err != nil {
				return err
			}
			used, err := p.isUsed()
			if err != nil {
				return err
			}
			if used {
				return p.fail(ErrInUse, nil)
			}
			return p.end()
		}))
	})
}

// ForceDestroy removes a pool whoever uses it. Who holds a slot is not disturbed;
// who waits for one gets ErrDestroyed. It does so even if a process that is stopped
// has the ledger lock, and if the pool is damaged.
func (p *Pool) ForceDestroy() error {
	return p.use(func() error {
		if err := p.mayRemove(); err != nil {
			return err
		}
		err := p.lockedWithin(lockWithin, p.end)
		if errors.Is(err, context.DeadlineExceeded) {
			err = p.safely(p.end)
		}
		if errors.Is(err, ErrDamaged) {
			return Remove(p.name)
		}
		return err
	})
}

// mayRemove is asked before a pool is marked as destroyed or drained: whoever cannot
// remove its names must not begin. It is not asked under the lock, since the name of
// the owner can take time to find.
func (p *Pool) mayRemove() error {
	if p.object.MayUnlink() && p.gate.MayUnlink() {
		return nil
	}
	return p.fail(ErrRefused, fmt.Errorf("only its owner can remove it: %s", p.object.OwnerName()))
}

// Drain admits nobody new, waits until all who hold or wait have come and gone,
// and destroys the pool. It returns ctx's error when ctx is done before; then,
// and also when its process dies, newcomers are admitted again. ErrDraining where
// another drains the pool already, ErrRefused at once where the caller is neither the
// pool's owner nor root.
func (p *Pool) Drain(ctx context.Context) error {
	return p.use(func() error {
		if err := p.mayRemove(); err != nil {
			return err
		}
		ctx, cancel := p.untilClosed(ctx)
		defer cancel()
		return p.drain(ctx)
	})
}

func (p *Pool) drain(ctx context.Context) error {
	var r ref
	var ticket uint64
	err := p.locked(ctx, func() (err error) {
		if err = p.admitsNewcomers(); err != nil {
			return err
		}
		if r, err = p.recruit(request{weight: 1}); err != nil {
			return err
		}
		ticket = p.ledger.must(r).ticket.Load()
		return p.change(drain, r, nothing)
	})
	if err != nil {
		return err
	}
	watch := p.startWatch()
	defer func() { watch.stop() }()
	limit := time.Second
	if watch == nil {
		limit = scanInterval
	}
	for {
		var word uint32
		ended := false
		_, _, err := p.reapHolders(ctx)
		if err == nil {
			err = p.locked(ctx, func() error {
				if p.ledger.life.Load() != alive {
					return p.fail(ErrNotExist, nil)
				}
				if err := p.reapLine(); err != nil {
					return err
				}
				word = p.ledger.at(r).word.Load()
				used, err := p.isUsed()
				if err != nil {
					return err
				}
				if ended = !used; ended {
					return p.end()
				}
				return why(ctx)
			})
		}
		if err == nil && !ended {
			futex.Sleep(ctx, &p.ledger.at(r).word, word, limit)
			continue
		}
		if err != nil {
			p.depart(leaveWithin, r, ticket, leave, nothing)
		}
		return err
	}
}

// end marks the pool as destroyed, removes its names, and wakes all who sleep in it.
// If the process is killed after the mark, whoever opens the pool next removes what is
// left of it, and those who sleep find the mark within a heartbeat. If the kernel
// refuses to remove the first name, the pool is as it was.
//
// By force it runs without the ledger lock: the mark is one word, and nothing that
// the owner of the lock may still do takes it back.
func (p *Pool) end() error {
	l := p.ledger
	if err := l.check(); err != nil {
		return err
	}
	if !l.life.CompareAndSwap(alive, destroyed) {
		return p.fail(ErrNotExist, nil)
	}
	step("marked as destroyed")
	err := p.bury()
	if err != nil && gate.IsNamed(p.name, l.gate.Load()) {
		l.life.Store(alive)
		return err
	}
	p.tellAll()
	step("all told")
	return err
}

// tellAll wakes all who sleep in the pool. It goes through the records and follows no
// link: without the lock the line may be in the middle of a change.
func (p *Pool) tellAll() {
	p.gate.Wake(futex.Everybody)
	for r := ref(1); r <= min(p.ledger.used.Load(), MaxParticipants); r++ {
		p.poke(r)
	}
}

// bury removes the names of a pool that is not alive, under its ledger lock unless by
// force: the ledger's last, since it tells which semaphore is the pool's. A name that
// leads to something else by now is left alone.
func (p *Pool) bury() error {
	file := ledgerFile(p.name)
	if !shm.IsNamed(file, p.object.Inode) {
		return nil
	}
	if gate.IsNamed(p.name, p.ledger.gate.Load()) {
		if err := gate.Unlink(p.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return p.fail(ErrRefused, err)
		}
	}
	step("semaphore unlinked")
	if err := shm.Unlink(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p.fail(ErrRefused, err)
	}
	step("ledger unlinked")
	return nil
}

// buryUnlessAlive waits for whoever is creating or destroying the pool at this
// moment, and removes the pool if that one has died half way.
func (p *Pool) buryUnlessAlive() error {
	ctx, cancel := context.WithTimeout(context.Background(), lockWithin)
	defer cancel()
	if err := p.lock(ctx); err != nil {
		return p.orStuck(err)
	}
	defer p.unlock()
	if p.ledger.life.Load() == alive {
		return nil
	}
	p.ledger.life.Store(destroyed)
	return p.bury()
}

// Remove removes the files of a pool that cannot be opened, being damaged or
// another user's, without a look at what is in the ledger. It refuses what is not a
// regular file, and leaves a semaphore alone that was not made for a pool.
func Remove(name string) error {
	name, err := CheckName(name)
	if err != nil {
		return err
	}
	removed := func(file string) (bool, error) {
		err := shm.Remove(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, fail(name, ErrRefused, err)
		}
		return err == nil, nil
	}
	found, err := removed(ledgerFile(name))
	if err != nil {
		return err
	}
	if !isForeign(name) {
		gateFound, err := removed("sem." + name[1:])
		if err != nil {
			return err
		}
		found = found || gateFound
	}
	if !found {
		return fail(name, ErrNotExist, nil)
	}
	return nil
}

// isForeign reports whether the name leads to a semaphore that was not made for a
// pool. What is not a semaphore at all is taken for the remains of a pool's.
func isForeign(name string) bool {
	sem, err := gate.OpenReadOnly(name)
	if err != nil {
		return false
	}
	defer sem.Close()
	tag, err := sem.Tag()
	return err == nil && tag != gate.TagPool && sem.IsSound()
}
