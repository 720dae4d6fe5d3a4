package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poolrun/poolrun/gate"
)

// An Option says more about a request for slots.
type Option func(request) request

type request struct {
	weight   int
	priority int
	command  string
	waits    func()
}

// WithWeight asks for n slots at once, all or none; 1 without this option.
func WithWeight(n int) Option {
	return func(r request) request { r.weight = n; return r }
}

// WithPriority says who goes first, as nice(1) does: -20 to 19, a lower number
// before a higher one, and first come, first served among equals; 0 without this
// option.
func WithPriority(n int) Option {
	return func(r request) request { r.priority = n; return r }
}

// WithCommand sets the text that Status shows for the participant: usually a
// command line. Its first bytes are kept.
func WithCommand(text string) Option {
	return func(r request) request { r.command = text; return r }
}

// OnWait sets a function that is called once, when the request has joined the
// line. If it panics, the request leaves the line.
func OnWait(f func()) Option {
	return func(r request) request { r.waits = f; return r }
}

func newRequest(options []Option) (request, error) {
	r := request{weight: 1}
	for _, option := range options {
		r = option(r)
	}
	switch {
	case r.weight < 1 || r.weight > MaxSlots:
		return r, &Error{fmt.Sprintf("weight %d", r.weight), ErrInvalid, fmt.Errorf("want 1 to %d", MaxSlots)}
	case r.priority < MinPriority || r.priority > MaxPriority:
		return r, &Error{fmt.Sprintf("priority %d", r.priority), ErrInvalid, fmt.Errorf("want %d to %d", MinPriority, MaxPriority)}
	}
	return r, nil
}

// The range of priorities, nice(1)'s.
const (
	MinPriority = -20
	MaxPriority = 19
)

// Acquire takes a slot, first come, first served, and waits for one if it has
// to. The lease must be released.
//
// It returns ctx's error, at once, when ctx is done before; ErrDestroyed when the
// pool is destroyed before, ErrClosed when it is closed; ErrTooHeavy when the pool has, or comes to have while
// it waits, fewer slots than asked for (but a pool of size 0 is waited for);
// ErrInvalid, ErrDraining, ErrFull or ErrDamaged. After any error the caller holds
// nothing and has left the line.
func (p *Pool) Acquire(ctx context.Context, options ...Option) (lease *Lease, err error) {
	// Inlined, so that the lease is on the caller's stack if it stays with the caller.
	lease = new(Lease)
	if err = p.acquire(ctx, lease, options); err != nil {
		lease = nil
	}
	return
}

func (p *Pool) acquire(ctx context.Context, lease *Lease, options []Option) error {
	if err := why(ctx); err != nil {
		return err
	}
	req, err := newRequest(options)
	if err != nil {
		return err
	}
	return p.use(func() error {
		var turn *turn
		arrive := func() (err error) {
			if err = p.arrive(req, lease); !errors.Is(err, ErrBusy) {
				return err
			}
			turn, err = p.joinLine(req)
			return err
		}
		if locked, err := p.tryLock(); err != nil {
			return err
		} else if locked {
			err = p.underLock(arrive)
			if err != nil || turn == nil {
				return err
			}
		}
		// From here on it can take time.
		ctx, cancel := p.untilClosed(ctx)
		defer cancel()
		if turn == nil {
			if err := p.locked(ctx, arrive); err != nil || turn == nil {
				return err
			}
		}
		// A caller's function can panic, or end its goroutine.
		waited := false
		defer func() {
			if !waited {
				turn.giveUp(context.Canceled)
			}
		}()
		if req.waits != nil {
			req.waits()
		}
		err := turn.wait(ctx, lease)
		waited = true
		return err
	})
}

// untilClosed returns a context that is also done when the pool is closed.
func (p *Pool) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.open, func() { cancel(context.Cause(p.open)) })
	return ctx, func() { stop(); cancel(nil) }
}

// why says why ctx is done, if it is: the pool's own reasons and a deadline by their
// names, anything else as ctx does.
func why(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	cause := context.Cause(ctx)
	if errors.As(cause, new(*Error)) || errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return err
}

// TryAcquire takes a slot if one is free and nobody stands before it in line;
// ErrBusy otherwise. Other errors are as from Acquire.
func (p *Pool) TryAcquire(options ...Option) (lease *Lease, err error) {
	lease = new(Lease)
	if err = p.tryAcquire(lease, options); err != nil {
		lease = nil
	}
	return
}

func (p *Pool) tryAcquire(lease *Lease, options []Option) error {
	req, err := newRequest(options)
	if err != nil {
		return err
	}
	// Dead holders can stand in the way only of one that stands before the line; else
	// they are the business of the first in it.
	var mayReap bool
	err = p.promptly(func() error {
		err := p.arrive(req, lease)
		if mayReap = errors.Is(err, ErrBusy) && p.isNext(req); mayReap {
			return nil
		}
		return p.countBusy(err)
	})
	if err != nil || !mayReap {
		return err
	}
	return p.use(func() error {
		return p.orStuck(p.afterReaping(func() error { return p.countBusy(p.arrive(req, lease)) }))
	})
}

func (p *Pool) countBusy(err error) error {
	if errors.Is(err, ErrBusy) {
		p.ledger.counters[busy].Add(1)
	}
	return err
}

// afterReaping is lockedWithin, after the slots of dead holders were taken back.
func (p *Pool) afterReaping(change func() error) error {
	ctx, cancel := context.WithTimeout(p.open, lockWithin)
	defer cancel()
	if _, _, err := p.reapHolders(ctx); err != nil {
		return err
	}
	return p.locked(ctx, change)
}

// arrive takes slots for a newcomer, or returns ErrBusy with nothing changed.
func (p *Pool) arrive(req request, lease *Lease) error {
	if err := p.admitsNewcomers(); err != nil {
		return err
	}
	if p.tooHeavy(req.weight) {
		return p.fail(ErrTooHeavy, p.weightError(req.weight))
	}
	if !p.isNext(req) {
		// Perhaps it is the dead who stand in the way. Dead holders are the business of
		// the first in line.
		if err := p.reapFirst(); err != nil {
			return err
		}
	}
	if !p.isNext(req) || !p.fits(req.weight) {
		return p.fail(ErrBusy, nil)
	}
	r, err := p.recruit(req)
	if err != nil {
		return err
	}
	if err := p.takeSlots(r, 0, lease); err != nil {
		p.unclaim(r)
		return err
	}
	return nil
}

func (p *Pool) admitsNewcomers() error {
	if p.ledger.life.Load() != alive {
		return p.fail(ErrDestroyed, nil)
	}
	if err := p.reapDrainer(); err != nil {
		return err
	}
	if p.ledger.drainer.Load() != 0 {
		return p.fail(ErrDraining, nil)
	}
	return nil
}

// isNext reports whether nobody in line stands before a newcomer.
func (p *Pool) isNext(req request) bool {
	first := p.ledger.at(p.first())
	return first == nil || int(first.priority.Load()) > req.priority
}

// tooHeavy reports whether the pool will not have so many slots as it is now. A
// pool of size 0 is paused, and will be another.
func (p *Pool) tooHeavy(weight int) bool {
	size := int(p.ledger.size.Load())
	return size > 0 && weight > size
}

func (p *Pool) weightError(weight int) error {
	return fmt.Errorf("%d at once, where its size is %d", weight, p.ledger.size.Load())
}

// fits reports whether weight slots are free: by the semaphore, of which foreign
// programs take their share, and by the ledger, for a foreign program can also
// post what it never took.
func (p *Pool) fits(weight int) bool {
	value, err := p.gate.Value()
	l := p.ledger
	return err == nil && value >= weight && int(l.inUse.Load())+weight <= int(l.size.Load())
}

// recruit claims a free record and fills it in. It stays free: if the process is
// killed, the kernel drops the claim and nothing has happened.
func (p *Pool) recruit(req request) (ref, error) {
	r := p.ledger.peekFree()
	if r == 0 {
		// The dead in the middle of the line have records, too.
		if err := p.reapLine(); err != nil {
			return 0, err
		}
		r = p.ledger.peekFree()
	}
	if r == 0 {
		return 0, p.fail(ErrFull, nil)
	}
	if err := p.claim(r); err != nil {
		return 0, err
	}
	step("claimed")
	rec := p.ledger.at(r)
	rec.weight.Store(uint32(req.weight))
	rec.priority.Store(int32(req.priority))
	rec.ticket.Store(p.ledger.ticket.Add(1))
	rec.aside.Store(0)
	rec.pid.Store(p.self.pid)
	rec.pidNamespace.Store(p.self.pidNamespace)
	rec.timeNamespace.Store(p.self.timeNamespace)
	rec.uid.Store(p.self.uid)
	rec.commandPID.Store(0)
	rec.commandSeen.Store(0)
	rec.since.Store(p.now())
	rec.acquired.Store(0)
	rec.seen.Store(0)
	rec.bell.Store(r)
	rec.leaving.Store(cancelled)
	rec.guarded.Store(0)
	clear(rec.command[copy(rec.command[:], req.command):])
	step("record filled in")
	return r, nil
}

// takeSlots makes a holder of a newcomer or of the first in line; ErrBusy with
// nothing changed where a foreign program was faster.
func (p *Pool) takeSlots(r ref, waited time.Duration, lease *Lease) error {
	rec := p.ledger.at(r)
	rec.acquired.Store(rec.since.Load() + int64(waited))
	switch err := p.change(take, r, acquired); {
	case errors.Is(err, gate.ErrWouldBlock):
		return p.fail(ErrBusy, nil)
	case err != nil:
		return err
	}
	p.ledger.waits.observe(waited)
	lease.pool, lease.r, lease.ticket = p, r, rec.ticket.Load()
	lease.waited, lease.guard = waited, -1
	lease.first = p.ledger.firstSlot(r)
	if rec.weight.Load() > 1 {
		lease.others = slices.DeleteFunc(p.ledger.slotsOf(r), func(i int) bool { return i == lease.first })
	}
	return nil
}

func (p *Pool) joinLine(req request) (*turn, error) {
	r, err := p.recruit(req)
	if err != nil {
		return nil, err
	}
	p.ledger.at(r).bell.Store(p.dormitory.bellFor(r))
	if err := p.change(join, r, nothing); err != nil {
		p.unclaim(r)
		return nil, err
	}
	return &turn{p: p, r: r, ticket: p.ledger.at(r).ticket.Load(), came: p.ledger.at(r).since.Load()}, nil
}

var errNotThere = errors.New("its record is another's by now")

// depart ends a participation of this process: by op, under the ledger lock, and
// with the claim, in this order. A record must not be free for others while its
// claim is not; and where the lock is not to be had, the claim alone goes, which
// leaves the record to be reaped like that of a dead process.
func (p *Pool) depart(within time.Duration, r ref, ticket uint64, op op, c counter) error {
	locked := false
	err := p.lockedWithin(within, func() error {
		locked = true
		rec := p.ledger.must(r)
		if rec.ticket.Load() != ticket {
			return errNotThere
		}
		defer p.unclaim(r)
		if rec.state.Load() == free { // somebody scribbled
			return errNotThere
		}
		return p.change(op, r, c)
	})
	if !locked {
		p.safely(func() error { p.ledger.at(r).leaving.Store(c); return nil })
		p.unclaim(r)
	}
	return err
}
