package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"time"

	"github.com/poolrun/poolrun/gate"
	"github.com/poolrun/poolrun/internal/shm"
)

// Config says what a pool is to be.
type Config struct {
	Size  int         // slots: 1 to MaxSlots; 0 for as many as there are items
	Mode  fs.FileMode // permission bits of both files, exactly; 0 for 0600
	Group *int        // gid of both files; nil for the caller's
	Items []string    // what each slot stands for: none, or one for each slot
}

func (c Config) check() (Config, error) {
	if c.Size == 0 {
		c.Size = len(c.Items)
	}
	if c.Mode == 0 {
		c.Mode = 0o600
	}
	invalid := func(what, why string) (Config, error) {
		return c, &Error{what, ErrInvalid, errors.New(why)}
	}
	switch {
	case c.Size < 1 || c.Size > MaxSlots:
		return invalid(fmt.Sprintf("size %d", c.Size), fmt.Sprintf("a pool has 1 to %d slots", MaxSlots))
	case c.Mode != c.Mode.Perm():
		return invalid(fmt.Sprintf("mode %#o", c.Mode), "only permission bits count")
	case c.Mode&0o600 != 0o600:
		return invalid(fmt.Sprintf("mode %#o", c.Mode), "the owner must be able to read and write")
	case c.Group != nil && (*c.Group < 0 || *c.Group >= math.MaxUint32):
		return invalid(fmt.Sprintf("group %d", *c.Group), "a group's number is 0 to 4294967294")
	case len(c.Items) != 0 && len(c.Items) != c.Size:
		return invalid("items", fmt.Sprintf("there are %d for %d slots", len(c.Items), c.Size))
	}
	for _, text := range c.Items {
		if len(text) > MaxItemBytes {
			return invalid(fmt.Sprintf("item %q", text), fmt.Sprintf("it is longer than %d bytes", MaxItemBytes))
		}
	}
	return c, nil
}

// Create makes a pool that did not exist: ErrExist where it does, ErrInvalid,
// ErrRefused where one of its names is taken by something else or /dev/shm is
// full. Nothing is changed after a failure.
//
// The ledger is in the state forming, and locked by its creator, until the pool
// has both of its names. If the process is killed before the first link, nothing
// is left, since neither file has a name; after it, the lock is free and the
// state says forming, and whoever opens the pool next removes it.
func Create(name string, config Config) error {
	owner := shm.Caller
	if config.Group != nil {
		owner.GID = *config.Group
	}
	return create(name, config, owner, nil)
}

// create makes the pool's ledger and, unless one is left of an earlier pool, its
// semaphore.
func create(name string, config Config, owner shm.Owner, left *gate.Sem) error {
	name, err := CheckName(name)
	if err != nil {
		return err
	}
	if config, err = config.check(); err != nil {
		return err
	}
	object, err := shm.Anonymous(ledgerSize, config.Mode, owner)
	if err != nil {
		return fail(name, ErrRefused, fmt.Errorf("cannot make its ledger in %s: %w", shm.Dir, err))
	}
	p, err := newPool(name, object)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.lock(context.Background()); err != nil {
		return fail(name, ErrRefused, err)
	}
	defer p.unlock()
	return p.safely(func() error { return p.found(config, owner, left) })
}

// found makes a pool of a new ledger, under its lock.
func (p *Pool) found(config Config, owner shm.Owner, left *gate.Sem) (err error) {
	sem := left
	if sem == nil {
		if sem, err = prepareGate(config.Size, config.Mode, owner); err != nil {
			return p.fail(ErrRefused, err)
		}
		defer sem.Close()
	}
	p.ledger.format(config, sem.Inode())

	step("nothing linked")
	for {
		if err := p.object.Link(ledgerFile(p.name)); err == nil {
			break
		} else if !errors.Is(err, fs.ErrExist) {
			return p.fail(ErrRefused, err)
		}
		// Open removes what a dead creator or destroyer has left there.
		other, err := openLedger(p.name, shm.ReadWrite)
		if err == nil {
			err = other.openGate(shm.ReadWrite)
			other.Close()
		}
		if err == nil {
			return p.fail(ErrExist, nil)
		}
		if !errors.Is(err, ErrNotExist) {
			return err
		}
	}
	step("ledger linked")
	if left == nil {
		if err := sem.Link(p.name); err != nil {
			shm.Unlink(ledgerFile(p.name))
			if errors.Is(err, fs.ErrExist) {
				err = fmt.Errorf("a semaphore of that name exists, and belongs to no pool: %s", shm.Path("sem."+p.name[1:]))
			}
			return p.fail(ErrRefused, err)
		}
	}
	step("semaphore linked")
	p.ledger.life.Store(alive)
	step("pool alive")
	return nil
}

// prepareGate makes a semaphore with the pool's tag and the standing sleeper, and
// without a name.
func prepareGate(value int, mode fs.FileMode, owner shm.Owner) (*gate.Sem, error) {
	sem, err := gate.Prepare(value, mode, owner.UID, owner.GID)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(sem.SetTag(gate.TagPool), sem.CountSleeper()); err != nil {
		sem.Close()
		return nil, err
	}
	return sem, nil
}

// format fills in a new ledger, which is all zero.
func (l *ledger) format(config Config, semaphore uint64) {
	l.version.Store(ledgerVersion)
	l.id.Store(rand.Uint64())
	l.gate.Store(semaphore)
	l.created.Store(time.Now().UnixNano())
	l.size.Store(uint32(config.Size))
	l.hasItems.Store(uint32(min(len(config.Items), 1)))
	for i, text := range config.Items {
		l.items[i].set(text)
	}
	l.life.Store(forming)
	l.magic.Store(ledgerMagic)
}
