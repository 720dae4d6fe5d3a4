package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/poolrun/poolrun/gate"
	"github.com/poolrun/poolrun/internal/names"
	"github.com/poolrun/poolrun/internal/shm"
)

// Destroy removes a pool that nobody uses: ErrInUse, with nothing changed, where
// somebody holds a slot or waits for one; ErrRefused where the caller is neither
// the pool's owner nor root.
func (p *Pool) Destroy() error {
	return p.promptly(func() error {
		if err := p.reapAll(); err != nil {
			return err
		}
		if !p.empty() {
			return p.fail(ErrInUse, nil)
		}
		return p.end()
	})
}

// ForceDestroy removes a pool whoever uses it. Who holds a slot is not disturbed;
// who waits for one gets ErrDestroyed.
func (p *Pool) ForceDestroy() error {
	return p.promptly(p.end)
}

// Drain admits nobody new, waits until all who hold or wait have come and gone,
// and destroys the pool. It returns ctx's error when ctx is done before; then,
// and also when its process dies, newcomers are admitted again. ErrDraining where
// another drains the pool already.
func (p *Pool) Drain(ctx context.Context) error {
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
	limit := heartbeat
	if watch == nil {
		limit = scanInterval
	}
	for {
		var word uint32
		ended := false
		err := p.locked(ctx, func() error {
			if p.ledger.life.Load() != alive {
				return p.fail(ErrNotExist, nil)
			}
			if err := p.reapAll(); err != nil {
				return err
			}
			word = p.ledger.at(r).word.Load()
			if ended = p.empty(); ended {
				return p.end()
			}
			return ctx.Err()
		})
		if err == nil && !ended {
			p.sleepOnWord(ctx, r, word, limit)
			continue
		}
		if err != nil {
			p.depart(leaveWithin, r, ticket, leave, nothing)
		}
		return err
	}
}

func (p *Pool) reapAll() error {
	if err := p.reapFirst(); err != nil {
		return err
	}
	_, err := p.reapHolders()
	return err
}

// end marks the pool as destroyed, wakes all who sleep in it, and removes its
// names. If the process is killed after the mark, whoever opens the pool next
// removes what is left of it.
func (p *Pool) end() error {
	l := p.ledger
	if l.life.Load() != alive {
		return p.fail(ErrNotExist, nil)
	}
	// /dev/shm is sticky: a pool must not be marked by one who cannot unlink it.
	if uid := os.Geteuid(); uid != 0 && uid != int(p.object.UID) {
		return p.fail(ErrRefused, fmt.Errorf("only its owner can remove it: %s", names.User(p.object.UID)))
	}
	l.life.Store(destroyed)
	step("marked as destroyed")
	p.wakeAll()
	step("all told")
	return p.bury()
}

// bury removes the names of a pool that is not alive, under its ledger lock: the
// ledger's last, since it tells which semaphore is the pool's. A name that leads
// to something else by now is left alone.
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
// another user's, without a look at what is in them. It refuses what is not a
// regular file.
func Remove(name string) error {
	name, err := CheckName(name)
	if err != nil {
		return err
	}
	found := false
	for _, file := range []string{ledgerFile(name), "sem." + name[1:]} {
		switch err := shm.Remove(file); {
		case err == nil:
			found = true
		case !errors.Is(err, fs.ErrNotExist):
			return fail(name, ErrRefused, err)
		}
	}
	if !found {
		return fail(name, ErrNotExist, nil)
	}
	return nil
}
