package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"time"

	"github.com/poolrun/poolrun/internal/crash"
	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/sem"
	"github.com/poolrun/poolrun/internal/shm"
)

// The limits of a pool.
const (
	MaxSlots        = ledger.MaxSlots
	MaxParticipants = ledger.MaxParticipants // holders and waiters
	MaxItemBytes    = ledger.MaxItemBytes
	MaxDelay        = ledger.MaxDelay     // between two starts
	MaxCommandBytes = ledger.CommandBytes // of the text that Status shows for a participant
)

// Config describes a pool to be created.
type Config struct {
	Size  int         // slots: 1 to MaxSlots; 0 for as many as there are items
	Mode  fs.FileMode // permission bits of both files, exactly; 0 for 0600
	Group *int        // gid of both files; nil for the caller's
	Items []string    // what each slot stands for: none, or one for each slot

	// Delay is the least time between two starts, at most 366 days: slots are handed out at most
	// that often.
	Delay time.Duration
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
		return invalid(fmt.Sprintf("mode %#o", c.Mode), "it has more than permission bits")
	case c.Mode&0o600 != 0o600:
		return invalid(fmt.Sprintf("mode %#o", c.Mode), "the owner must be able to read and write")
	case c.Group != nil && (*c.Group < 0 || *c.Group >= math.MaxUint32):
		return invalid(fmt.Sprintf("group %d", *c.Group), "a group's number is 0 to 4294967294")
	case c.Delay < 0 || c.Delay > ledger.MaxDelay:
		return invalid(fmt.Sprintf("delay %v", c.Delay), "a delay is 0 to 366 days")
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

// Create makes a pool that does not exist yet. It returns ErrExist if there is one, ErrNameTaken if
// another object has one of its names, ErrNoSpace if /dev/shm is full, or ErrInvalid. After an
// error nothing is changed.
func Create(name string, config Config) error {
	owner := shm.Caller
	if config.Group != nil {
		owner.GID = *config.Group
	}
	return create(name, config, owner, nil)
}

// create makes the pool's ledger and, unless one is left from an earlier pool, its semaphore.
//
// The ledger is forming, and its creator has its lock, until the pool has both of its names. If the
// process is killed before the first link, nothing is left, since neither file has a name. If it is
// killed later, the lock is free and the ledger is forming: the next process that opens the pool
// removes it.
func create(name string, config Config, owner shm.Owner, left *sem.Sem) error {
	name, err := CheckName(name)
	if err != nil {
		return err
	}
	if config, err = config.check(); err != nil {
		return err
	}
	object, err := shm.Anonymous(ledger.Size, config.Mode, owner)
	if err != nil {
		return explain(name, fmt.Errorf("cannot make its ledger in %s: %w", shm.Dir, err))
	}
	p, err := newPool(name, object)
	if err != nil {
		return err
	}
	defer p.Close()
	return p.use(func() error {
		return p.locked(context.Background(), lockLimit, func() error { return p.build(config, owner, left) })
	})
}

// build makes a pool of a new ledger, under its lock.
func (p *Pool) build(config Config, owner shm.Owner, left *sem.Sem) (err error) {
	gate := left
	if gate == nil {
		if gate, err = makeGate(config.Size, config.Mode, owner); err != nil {
			return err
		}
		defer gate.Close()
	}
	p.mem.Format(rand.Uint64(), gate.Inode, time.Now().UnixNano(), config.Size, config.Items, int64(config.Delay))

	crash.Point("nothing linked")
	for {
		if err := p.object.Link(ledgerFile(p.name)); err == nil {
			break
		} else if !errors.Is(err, fs.ErrExist) {
			return err
		}
		// Open removes what a dead creator or destroyer has left there.
		if other, err := Open(p.name); err == nil {
			other.Close()
			return p.fail(ErrExist)
		} else if !errors.Is(err, ErrNotExist) {
			return err
		}
	}
	crash.Point("ledger linked")
	if left == nil {
		if err := gate.Link(sem.File(p.name)); err != nil {
			shm.Unlink(ledgerFile(p.name))
			if errors.Is(err, fs.ErrExist) {
				return &Error{p.name, ErrNameTaken, fmt.Errorf("%s is a semaphore that belongs to no pool", shm.Path(sem.File(p.name)))}
			}
			return err
		}
	}
	crash.Point("semaphore linked")
	p.mem.Life.Store(ledger.LifeAlive)
	crash.Point("pool alive")
	return nil
}

// makeGate makes a pool's semaphore, without a name. It counts a standing sleeper, for good: so
// every sem_post(3) makes a wake call, and a process in line can sleep on the semaphore without
// being counted, and die in its sleep without leaving a count.
func makeGate(value int, mode fs.FileMode, owner shm.Owner) (*sem.Sem, error) {
	gate, err := sem.Make(value, mode, owner, sem.TagPool)
	if err == nil {
		gate.CountSleeper()
	}
	return gate, err
}
