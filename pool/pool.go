package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"

	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/sem"
	"github.com/poolrun/poolrun/internal/shm"
	"golang.org/x/sys/unix"
)

// A Pool is an open pool. Its methods may be called by many goroutines at once. After Close they
// change nothing and return ErrClosed, and so do those of its leases.
type Pool struct {
	core

	turnstile chan struct{} // full while a goroutine of this process has the ledger lock
	sleepers  sleepers

	// Close cancels open, which ends all waits. When the last method has returned, life ends.
	life  shm.Lifetime
	open  context.Context
	close context.CancelCauseFunc

	descriptors sync.Mutex // held to close descriptors, or to use one that may be closed by now
	closed      bool
	guards      map[*Lease]bool // the leases that have a guard
}

// Open opens an existing pool for use. The pool must be closed.
//
// It returns ErrNotExist if there is no such pool, ErrPermission if the caller may not use it,
// ErrNameTaken if one of its files is not a regular file, ErrDamaged if its files do not make a
// pool, and ErrVersion if another version of poolrun made it. A pool whose creator or destroyer
// died on the way counts as none, and is removed.
//
// The caller may use its own pools and root's, and those that are shared through a group of the
// caller and closed to others: any user can be first to take a name in /dev/shm.
func Open(name string) (*Pool, error) { return open(name, shm.ReadWrite) }

// OpenReadOnly opens a pool of which only Status may be used. The caller needs no more than
// permission to read it, whoever owns it. Errors are as from Open.
func OpenReadOnly(name string) (*Pool, error) { return open(name, shm.ReadOnly) }

// OpenToManage opens a pool to look at it, or to resize or destroy it, and not to acquire its
// slots: root may do that with any user's pool. Errors are as from Open.
func OpenToManage(name string) (*Pool, error) { return open(name, shm.Manage) }

func open(name string, access shm.Access) (*Pool, error) {
	name, err := CheckName(name)
	if err != nil {
		return nil, err
	}
	p, err := openLedger(name, access)
	if err != nil {
		return nil, err
	}
	if err := p.openGate(access); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// openLedger opens the ledger alone, whatever its life.
func openLedger(name string, access shm.Access) (*Pool, error) {
	object, err := shm.Open(ledgerFile(name), ledger.Size, access)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{name, ErrNotExist, nil}
	}
	if err != nil {
		return nil, explain(name, err)
	}
	return newPool(name, object)
}

func newPool(name string, object *shm.Object) (*Pool, error) {
	p := newHandle(core{name: name, object: *object, probe: -1})
	err := p.safely(func() error {
		if err := p.self.find(); err != nil {
			return fmt.Errorf("/proc is needed: %w", err)
		}
		return p.attach(name)
	})
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// newHandle makes a Pool of a core.
func newHandle(c core) *Pool {
	p := &Pool{core: c, turnstile: make(chan struct{}, 1), guards: map[*Lease]bool{}}
	p.open, p.close = context.WithCancelCause(context.Background())
	return p
}

// openGate opens the semaphore that belongs to the ledger, if the pool is alive, and removes what
// is left of the pool if it is not.
func (p *Pool) openGate(access shm.Access) error {
	return p.safely(func() error {
		if err := p.mem.Check(); err != nil {
			return err
		}
		if p.mem.Life.Load() != ledger.LifeAlive && !p.object.ReadOnly {
			if err := p.removeUnlessAlive(); err != nil {
				return err
			}
		}
		if p.mem.Life.Load() != ledger.LifeAlive {
			return p.fail(ErrNotExist)
		}
		gate, err := sem.Open(p.name, access)
		if err == nil && gate.Inode == p.mem.GateInode.Load() {
			p.mem.Gate = gate
			return nil
		}
		if err == nil {
			gate.Close()
			err = ledger.Damage("its semaphore was replaced by another")
		} else if errors.Is(err, fs.ErrNotExist) {
			err = ledger.Damage("its semaphore was removed")
		}
		if p.mem.Life.Load() == ledger.LifeDestroyed { // at this very moment
			return p.fail(ErrNotExist)
		}
		return err
	})
}

// Name is the pool's name, with its leading slash.
func (p *Pool) Name() string { return p.name }

// ID is a number in hexadecimal that no other pool has, also none of the same name.
func (p *Pool) ID() string { return strconv.FormatUint(p.id, 16) }

// Size is the number of slots at the moment.
func (p *Pool) Size() (size int, err error) {
	err = p.use(func() error {
		size = p.mem.Size()
		return nil
	})
	return size, err
}

// IsLost reports whether the pool's files were removed although it was not destroyed. Then its name
// leads to another pool or to none.
func (p *Pool) IsLost() (lost bool, err error) {
	err = p.use(func() error {
		lost = p.mem.Life.Load() == ledger.LifeAlive && !p.object.HasName()
		return nil
	})
	return lost, err
}

// Close closes the pool. Methods that are waiting return ErrClosed. Leases that were not released
// are lost, as if the process had died.
func (p *Pool) Close() error {
	if !p.life.End(func() { p.close(p.fail(ErrClosed)) }) {
		return p.fail(ErrClosed)
	}
	p.descriptors.Lock()
	defer p.descriptors.Unlock()
	p.closed = true
	// An abandoned wait for the lock keeps the file description open, and with it the claim.
	errs := []error{p.dropClaim()}
	for lease := range p.guards {
		errs = append(errs, unix.Close(lease.guard))
	}
	if p.mem.Gate != nil {
		errs = append(errs, p.mem.Gate.Close())
	}
	if p.probe >= 0 {
		errs = append(errs, unix.Close(p.probe))
	}
	return errors.Join(append(errs, p.object.Close())...)
}

// use runs f while the pool is open. Every method that touches shared memory or a descriptor does
// it in here.
func (p *Pool) use(f func() error) error {
	if !p.life.Enter() {
		return p.fail(ErrClosed)
	}
	defer p.life.Leave()
	return p.safely(f)
}

// safely is the border behind which shared memory is touched. Somebody may truncate a file at any
// moment: safely makes an error of the fault that this raises. It makes an Error, which names the
// pool, of every other error.
func (p *Pool) safely(f func() error) (err error) {
	defer func() { err = explain(p.name, err) }()
	defer shm.CatchFault(&err, shm.PanicOnFault())
	return f()
}
