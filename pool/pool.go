package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/poolrun/poolrun/gate"
	"github.com/poolrun/poolrun/internal/shm"
	"golang.org/x/sys/unix"
)

// A Pool is an open pool. Its methods may be called by many goroutines at once.
type Pool struct {
	name   string
	object *shm.Object // the ledger: one open file description for its lock and all claims
	ledger *ledger
	gate   *gate.Sem
	probe  int // the ledger again, only to ask for locks

	turnstile chan struct{} // full while a goroutine of this process has the ledger lock
	watches   sync.WaitGroup
	self      identity
}

// Open opens an existing pool for use: ErrNotExist where there is none,
// ErrRefused where the caller may not use it or one of its files is not what it
// should be, ErrDamaged where its files make no pool. The pool must be closed.
//
// A pool whose creator or destroyer died half way counts as none, and is removed.
func Open(name string) (*Pool, error) { return open(name, shm.ReadWrite) }

// OpenReadOnly opens a pool of which only Status may be used, for those who may
// read it but not write to it, whoever owns it. Errors are as from Open.
func OpenReadOnly(name string) (*Pool, error) { return open(name, shm.ReadOnly) }

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

// openLedger opens the ledger alone, of whatever life.
func openLedger(name string, access shm.Access) (*Pool, error) {
	object, err := shm.Open(ledgerFile(name), ledgerSize, access)
	switch refused := (*shm.Refused)(nil); {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		return nil, fail(name, ErrNotExist, nil)
	case errors.As(err, &refused) && refused.WrongSize:
		return nil, fail(name, ErrDamaged, err)
	default:
		return nil, fail(name, ErrRefused, err)
	}
	return newPool(name, object)
}

func newPool(name string, object *shm.Object) (*Pool, error) {
	p := &Pool{
		name: name, object: object, ledger: shm.View[ledger](object),
		probe: -1, turnstile: make(chan struct{}, 1),
	}
	var err error
	if p.probe, err = object.Reopen(unix.O_RDONLY); err == nil {
		p.self, err = whoAmI()
	}
	if err != nil {
		p.Close()
		return nil, fail(name, ErrRefused, err)
	}
	return p, nil
}

// openGate opens the semaphore that belongs to the ledger, if the pool is alive,
// and clears away what is left of it if it is not.
func (p *Pool) openGate(access shm.Access) (err error) {
	defer p.explain(&err)
	defer shm.CatchFault(&err, shm.PanicOnFault())
	if err := p.ledger.check(); err != nil {
		return err
	}
	if p.ledger.life.Load() != alive && !p.object.ReadOnly {
		if err := p.buryUnlessAlive(); err != nil {
			return err
		}
	}
	if p.ledger.life.Load() != alive {
		return p.fail(ErrNotExist, nil)
	}
	openSem := gate.Open
	if access == shm.ReadOnly {
		openSem = gate.OpenReadOnly
	}
	sem, err := openSem(p.name)
	if err == nil && sem.Inode() == p.ledger.gate.Load() {
		p.gate = sem
		return nil
	}
	if err == nil {
		sem.Close()
		err = errors.New("its semaphore was replaced by another")
	} else if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("its semaphore was removed")
	} else if errors.Is(err, fs.ErrPermission) {
		return p.fail(ErrRefused, err)
	}
	if p.ledger.life.Load() == destroyed { // in this moment
		return p.fail(ErrNotExist, nil)
	}
	return err
}

// Name is the pool's name, with its leading slash.
func (p *Pool) Name() string { return p.name }

// Size is the number of slots at this moment.
func (p *Pool) Size() (size int, err error) {
	defer p.explain(&err)
	defer shm.CatchFault(&err, shm.PanicOnFault())
	return int(p.ledger.size.Load()), nil
}

// IsLost reports whether somebody removed the pool's files without destroying it:
// whoever opens the name now finds another pool or none.
func (p *Pool) IsLost() (lost bool, err error) {
	defer p.explain(&err)
	defer shm.CatchFault(&err, shm.PanicOnFault())
	return p.ledger.life.Load() == alive && !p.object.HasName(), nil
}

// Close lets go of the pool. Leases that were not released are lost with it, as
// if the process had died.
func (p *Pool) Close() error {
	p.watches.Wait()
	var errs []error
	if p.gate != nil {
		errs = append(errs, p.gate.Close())
	}
	if p.probe >= 0 {
		errs = append(errs, unix.Close(p.probe))
	}
	return errors.Join(append(errs, p.object.Close())...)
}

// locked runs a change under the ledger lock, after mending what a process that
// died in a change has left behind. Every error of it names the pool.
func (p *Pool) locked(ctx context.Context, change func() error) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	return p.underLock(change)
}

// lockedWithin is locked for those who wait for the lock so long at most, and for
// nothing else.
func (p *Pool) lockedWithin(limit time.Duration, change func() error) error {
	if locked, err := p.tryLock(); err != nil {
		return err
	} else if locked {
		return p.underLock(change)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return p.locked(ctx, change)
}

func (p *Pool) underLock(change func() error) (err error) {
	defer p.unlock()
	defer p.explain(&err)
	defer shm.CatchFault(&err, shm.PanicOnFault())
	if err := p.ledger.check(); err != nil {
		return err
	}
	if err := p.mend(); err != nil {
		return err
	}
	if err := p.payDebt(); err != nil {
		return err
	}
	return change()
}

// promptly is locked for those who do not wait for anything but the lock. It is held
// for microseconds; where it is not to be had for long, its owner is stopped, and
// hanging with it would help nobody.
func (p *Pool) promptly(change func() error) error {
	return p.orStuck(p.lockedWithin(lockWithin, change))
}

const lockWithin = 5 * time.Second

func (p *Pool) orStuck(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return p.fail(ErrRefused, fmt.Errorf("somebody has held the lock of its ledger for %v: a process that is stopped?", lockWithin))
	}
	return err
}

// explain is deferred around everything that reads the ledger. It makes ErrDamaged
// of whatever has no better name by then: what made no sense in there, and the
// fault that a truncated ledger raises.
func (p *Pool) explain(err *error) {
	switch d := recover().(type) {
	case nil:
	case damage:
		*err = d.error
	default:
		panic(d)
	}
	if *err != nil && !errors.Is(*err, context.Canceled) && !errors.Is(*err, context.DeadlineExceeded) {
		*err = p.fail(ErrDamaged, *err)
	}
}
