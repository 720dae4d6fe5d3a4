package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/poolrun/poolrun/internal/crash"
	"github.com/poolrun/poolrun/internal/futex"
	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/sem"
	"github.com/poolrun/poolrun/internal/shm"
)

// Destroy removes a pool that is not in use. It returns ErrInUse if anybody holds a slot or waits
// for one, including a program that shares the semaphore, and ErrPermission if the caller is
// neither the pool's owner nor root. After an error nothing is changed.
func (p *Pool) Destroy() error {
	return p.use(func() error {
		if err := p.mayRemove(); err != nil {
			return err
		}
		return p.updateReaped(func() error {
			if err := p.reapWaiting(); err != nil {
				return err
			}
			if p.isUsed() {
				return p.fail(ErrInUse)
			}
			return p.endPool()
		})
	})
}

// ForceDestroy removes a pool even if it is in use. Holders are not disturbed, and waiters get
// ErrDestroyed. It also removes a damaged pool, and one whose ledger lock is held by a stopped
// process, after it has waited for that lock for five seconds.
func (p *Pool) ForceDestroy() error {
	return p.use(func() error {
		if err := p.mayRemove(); err != nil {
			return err
		}
		err := p.safely(func() error {
			err := p.update(p.open, lockLimit, p.endPool)
			if errors.Is(err, ErrStuck) {
				err = p.endPool()
			}
			return err
		})
		if errors.Is(err, ErrDamaged) {
			return Remove(p.name)
		}
		return err
	})
}

// mayRemove is asked before a pool is marked as destroyed or drained: a caller that cannot remove
// its names must not begin. It is not asked under the lock, because looking up the owner's name can
// take time.
func (p *Pool) mayRemove() error {
	if p.object.MayUnlink() && p.mem.Gate.MayUnlink() {
		return nil
	}
	return &Error{p.name, ErrPermission, fmt.Errorf("only its owner, %s, and root can remove it", p.object.OwnerName())}
}

// Drain refuses newcomers, waits until all holders and waiters have come and gone, and destroys the
// pool. If ctx is done earlier, it returns ctx's error. Then, and also if its process dies,
// newcomers are admitted again. It returns ErrDraining if another process drains the pool already,
// and ErrPermission at once if the caller is neither the pool's owner nor root.
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
	var h holding
	err := p.update(ctx, 0, func() (err error) {
		if err := p.admitsNewcomers(); err != nil {
			return err
		}
		if h, err = p.claimAnyRecord(request{weight: 1}); err != nil {
			return err
		}
		return p.mem.Change(ledger.OpDrain, h.id.r, ledger.CountNothing)
	})
	if err != nil {
		return err
	}
	watch := p.startWatch()
	defer watch.stop()
	limit := time.Second
	if watch == nil {
		limit = scanInterval
	}
	for {
		ended, word := false, uint32(0)
		_, _, err := p.reapHolders(ctx, 0)
		if err == nil {
			err = p.update(ctx, 0, func() error {
				if p.mem.Life.Load() != ledger.LifeAlive {
					return p.fail(ErrNotExist)
				}
				if err := p.reapLine(); err != nil {
					return err
				}
				word = h.rec.Word.Load()
				if ended = !p.isUsed(); ended {
					return p.endPool()
				}
				return cause(ctx)
			})
		}
		if err != nil {
			p.endParticipation(leaveLimit, h, ledger.OpLeave, ledger.CountNothing)
		}
		if ended || err != nil {
			return err
		}
		futex.Sleep(ctx, &h.rec.Word, word, limit)
	}
}

func (p *Pool) admitsNewcomers() error {
	if p.mem.Life.Load() != ledger.LifeAlive {
		return p.fail(ErrDestroyed)
	}
	if err := p.reapIfDead(p.mem.Drainer()); err != nil {
		return err
	}
	if p.mem.Drainer() != 0 {
		return p.fail(ErrDraining)
	}
	return nil
}

// endPool marks the pool as destroyed, removes its names, and wakes everybody who sleeps in it. If the
// process is killed after the mark, the next process that opens the pool removes what is left, and
// sleepers find the mark by themselves. If the kernel refuses to remove the first name, the pool is
// as it was.
//
// By force it runs without the ledger lock: the mark is one word, and nothing that the owner of the
// lock may still do takes it back.
func (p *Pool) endPool() error {
	if err := p.mem.Check(); err != nil {
		return err
	}
	if !p.mem.Life.CompareAndSwap(ledger.LifeAlive, ledger.LifeDestroyed) {
		return p.fail(ErrNotExist)
	}
	crash.Point("marked as destroyed")
	err := p.removeNames()
	if err != nil && p.gateIsNamed() {
		p.mem.Life.Store(ledger.LifeAlive)
		return err
	}
	p.mem.WakeRecords()
	crash.Point("all told")
	return err
}

// gateIsNamed reports whether the semaphore's name leads to the pool's own semaphore.
func (p *Pool) gateIsNamed() bool {
	return shm.IsNamed(sem.File(p.name), p.mem.GateInode.Load())
}

// removeNames removes the names of a pool that is not alive, under its ledger lock unless by force.
// The ledger's name goes last, because the ledger says which semaphore is the pool's. A name that
// leads to another object by now is left alone.
func (p *Pool) removeNames() error {
	file := ledgerFile(p.name)
	if !shm.IsNamed(file, p.object.Inode) {
		return nil
	}
	if p.gateIsNamed() {
		if err := shm.Unlink(sem.File(p.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	crash.Point("semaphore unlinked")
	err := shm.Unlink(file)
	crash.Point("ledger unlinked")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeUnlessAlive waits for a process that is creating or destroying the pool at the moment, and
// removes the pool if that process has died on the way.
func (p *Pool) removeUnlessAlive() error {
	return p.locked(context.Background(), lockLimit, func() error {
		if p.mem.Life.Load() == ledger.LifeAlive {
			return nil
		}
		p.mem.Life.Store(ledger.LifeDestroyed)
		return p.removeNames()
	})
}

// Remove removes the files of a pool that cannot be opened, without looking at what is in its
// ledger. It refuses a file that is not a regular one (ErrNameTaken), and leaves a semaphore alone
// that was not made for a pool. It returns ErrNotExist if there is nothing to remove.
func Remove(name string) error {
	name, err := CheckName(name)
	if err != nil {
		return err
	}
	files := []string{ledgerFile(name)}
	if !isForeign(name) {
		files = append(files, sem.File(name))
	}
	found := false
	for _, file := range files {
		err := shm.Remove(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return explain(name, err)
		}
		found = found || err == nil
	}
	if !found {
		return &Error{name, ErrNotExist, nil}
	}
	return nil
}

// isForeign reports whether the name leads to a semaphore that was not made for a pool. A file that
// is not a semaphore at all counts as the remains of a pool's.
func isForeign(name string) bool {
	gate, err := sem.Open(name, shm.ReadOnly)
	if err != nil {
		return false
	}
	defer gate.Close()
	defer shm.CatchFault(&err, shm.PanicOnFault())
	return gate.Tag() != sem.TagPool && gate.IsSound()
}
