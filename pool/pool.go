package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
	"time"

	"github.com/poolrun/poolrun/gate"
	"github.com/poolrun/poolrun/internal/shm"
	"golang.org/x/sys/unix"
)

// A Pool is an open pool. Its methods may be called by many goroutines at once.
// After Close they change nothing and return ErrClosed, and so do those of its leases.
type Pool struct {
	name   string
	object *shm.Object // the ledger: one open file description for its lock and all claims
	ledger *ledger
	gate   *gate.Sem
	probe  int    // the ledger again, only to ask for locks
	id     uint64 // the ledger's, as it was when the pool was opened
	self   identity

	isDraft    bool // its ledger is a copy: see draft
	unreturned int  // and the dead, whom it has forgotten, have held so many slots

	turnstile chan struct{} // full while a goroutine of this process has the ledger lock
	dormitory dormitory

	// Close cancels open, which ends all waits; and the last method that is still going
	// on then ends life.
	life  shm.Lifetime
	open  context.Context
	close context.CancelCauseFunc

	descriptors sync.Mutex // held by whoever closes descriptors, or uses one so late that they may be closed
	closed      bool
	guards      map[*Lease]bool // of leases that have one
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

// OpenToManage opens a pool to look at it, resize, repair or destroy it, and not to run
// in it: root may do that with anybody's pool. Errors are as from Open.
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
		probe: -1, turnstile: make(chan struct{}, 1), guards: map[*Lease]bool{},
	}
	p.open, p.close = context.WithCancelCause(context.Background())
	err := p.safely(func() (err error) {
		if p.self, err = whoAmI(); err != nil {
			return err
		}
		p.id = p.ledger.id.Load()
		p.probe, err = object.Reopen(unix.O_RDONLY)
		return err
	})
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// openGate opens the semaphore that belongs to the ledger, if the pool is alive,
// and clears away what is left of it if it is not.
func (p *Pool) openGate(access shm.Access) error {
	return p.safely(func() error { return p.openItsGate(access) })
}

func (p *Pool) openItsGate(access shm.Access) error {
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
	switch access {
	case shm.ReadOnly:
		openSem = gate.OpenReadOnly
	case shm.Manage:
		openSem = gate.OpenToManage
	}
	sem, err := openSem(p.name)
	if err == nil && sem.Inode() == p.ledger.gate.Load() {
		p.gate = sem
		return nil
	}
	if err == nil {
		sem.Close()
		err = damaged("its semaphore was replaced by another")
	} else if errors.Is(err, fs.ErrNotExist) {
		err = damaged("its semaphore was removed")
	} else if refused := (*shm.Refused)(nil); errors.As(err, &refused) && refused.WrongSize {
		err = damage{err}
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
	err = p.use(func() error {
		size = int(p.ledger.size.Load())
		return nil
	})
	return size, err
}

// IsLost reports whether somebody removed the pool's files without destroying it:
// whoever opens the name now finds another pool or none.
func (p *Pool) IsLost() (lost bool, err error) {
	err = p.use(func() error {
		lost = p.ledger.life.Load() == alive && !p.object.HasName()
		return nil
	})
	return lost, err
}

// Close lets go of the pool. Whatever waits for it returns ErrClosed. Leases that were
// not released are lost with it, as if the process had died.
func (p *Pool) Close() error {
	if !p.life.End(func() { p.close(p.fail(ErrClosed, nil)) }) {
		return p.fail(ErrClosed, nil)
	}
	p.descriptors.Lock()
	defer p.descriptors.Unlock()
	p.closed = true
	// A wait for the lock that was given up keeps the description open, and would keep
	// the claims too.
	errs := []error{p.dropLocks()}
	for lease := range p.guards {
		errs = append(errs, unix.Close(lease.guard))
	}
	if p.gate != nil {
		errs = append(errs, p.gate.Close())
	}
	if p.probe >= 0 {
		errs = append(errs, unix.Close(p.probe))
	}
	return errors.Join(append(errs, p.object.Close())...)
}

// use runs f while the pool is open. Every method that touches the ledger, or a
// descriptor, does it in here.
func (p *Pool) use(f func() error) error {
	if !p.life.Enter() {
		return p.fail(ErrClosed, nil)
	}
	defer p.life.Leave()
	return p.safely(f)
}

// safely runs f and makes an error that names the pool of whatever went wrong. All
// reading of the ledger passes it: somebody may truncate the file or scribble in it at
// any moment, and neither the fault that raises nor what does not fit may end the
// process.
func (p *Pool) safely(f func() error) (err error) {
	defer p.explain(&err)
	defer shm.CatchFault(&err, shm.PanicOnFault())
	return f()
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
		return p.explained(err)
	} else if locked {
		return p.underLock(change)
	}
	ctx, cancel := context.WithTimeout(p.open, limit)
	defer cancel()
	return p.locked(ctx, change)
}

func (p *Pool) underLock(change func() error) error {
	defer p.unlock()
	return p.safely(func() error {
		if err := p.ledger.check(); err != nil {
			return err
		}
		whose, err := p.mend()
		if err != nil {
			return err
		}
		if err := p.reapIfDead(whose); err != nil {
			return err
		}
		if err := p.payDebt(); err != nil {
			return err
		}
		return change()
	})
}

// promptly is locked for those who do not wait for anything but the lock. It is held
// for microseconds; where it is not to be had for long, its owner is stopped, and
// hanging with it would help nobody.
func (p *Pool) promptly(change func() error) error {
	return p.use(func() error { return p.orStuck(p.lockedWithin(lockWithin, change)) })
}

const lockWithin = 5 * time.Second

func (p *Pool) orStuck(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return p.fail(ErrRefused, fmt.Errorf("somebody has held the lock of its ledger for %v: a process that is stopped?", lockWithin))
	}
	return err
}

// explain is deferred around everything that reads the ledger.
func (p *Pool) explain(err *error) {
	switch d := recover().(type) {
	case nil:
	case damage:
		*err = d
	case runtime.Error: // an index out of range: what was checked has changed since
		*err = damage{d}
	default:
		panic(d)
	}
	*err = p.explained(*err)
}

// explained gives an error its kind. ErrDamaged is what the ledger itself says; what
// the system says is never that, but the reason why the pool cannot be used now.
func (p *Pool) explained(err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, new(damage)), errors.Is(err, shm.ErrFault):
		return p.fail(ErrDamaged, err)
	}
	return p.fail(ErrRefused, err)
}
