package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/poolrun/poolrun/internal/crash"
	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/sem"
)

// An Option says more about a request for slots.
type Option func(request) request

type request struct {
	weight   int
	priority int
	command  string
	onWait   func()
}

// The range of priorities, nice(1)'s.
const (
	MinPriority = -20
	MaxPriority = 19
)

// WithWeight asks for n slots at once, all or none. The default is 1.
func WithWeight(n int) Option {
	return func(r request) request { r.weight = n; return r }
}

// WithPriority sets the order in line, as nice(1) does: from -20 to 19, a lower number before a
// higher one, and first come, first served among equals. The default is 0.
func WithPriority(n int) Option {
	return func(r request) request { r.priority = n; return r }
}

// WithCommand sets the text that Status shows for the participant, usually a command line. Only its
// beginning is kept.
func WithCommand(text string) Option {
	return func(r request) request { r.command = text; return r }
}

// OnWait sets a function that is called once, when the request has joined the line. If it panics,
// the request leaves the line. While it runs, the request cannot be served.
func OnWait(f func()) Option {
	return func(r request) request { r.onWait = f; return r }
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

// Acquire takes a slot, first come, first served, and waits for it if necessary. The lease must be
// released.
//
// It returns ctx's error as soon as ctx is done, ErrDestroyed if the pool is destroyed, and
// ErrClosed if it is closed in the meantime. It returns ErrTooHeavy if the pool has, or gets while
// the request waits, fewer slots than were asked for. (A pool of size 0 is paused, and is waited
// for.) Other errors are ErrInvalid, ErrDraining, ErrFull, ErrDamaged and ErrUnavailable. After an
// error the caller holds nothing and is not in line.
func (p *Pool) Acquire(ctx context.Context, options ...Option) (lease *Lease, err error) {
	if err := cause(ctx); err != nil {
		return nil, err
	}
	req, err := newRequest(options)
	if err != nil {
		return nil, err
	}
	var place *place
	err = p.use(func() error {
		return p.update(ctx, 0, func() (err error) {
			if lease, err = p.takeAtOnce(req); errors.Is(err, ErrBusy) {
				place, err = p.joinLine(req)
			}
			return err
		})
	})
	if err != nil || lease != nil {
		return lease, err
	}
	// The caller's function may close the pool, panic, or end its goroutine.
	waits := false
	defer func() {
		if !waits {
			p.use(func() error { return place.leaveLine(context.Canceled) })
		}
	}()
	if req.onWait != nil {
		req.onWait()
	}
	waits = true
	err = p.use(func() error {
		ctx, cancel := p.untilClosed(ctx)
		defer cancel()
		lease, err = place.wait(ctx)
		return err
	})
	return lease, err
}

// TryAcquire takes a slot if one is free and no waiter stands before the caller in line. Otherwise
// it returns ErrBusy. Other errors are as from Acquire, and ErrStuck.
func (p *Pool) TryAcquire(options ...Option) (lease *Lease, err error) {
	req, err := newRequest(options)
	if err != nil {
		return nil, err
	}
	err = p.use(func() error {
		// A dead holder may have the slot. That is looked into only if no waiter stands before the
		// caller: otherwise it is the business of the first in line.
		mayReap := true
		take := func() error {
			lease, err = p.takeAtOnce(req)
			if errors.Is(err, ErrBusy) {
				if next, _ := p.isNext(req); !next || !mayReap {
					mayReap = false
					p.mem.CountOne(ledger.CountBusy)
				}
			}
			return err
		}
		err := p.update(p.open, lockLimit, take)
		if mayReap && errors.Is(err, ErrBusy) {
			mayReap = false
			err = p.updateReaped(take)
		}
		return err
	})
	return lease, err
}

// updateReaped is update, after the slots of dead holders have been taken back.
func (p *Pool) updateReaped(change func() error) error {
	if _, _, err := p.reapHolders(p.open, lockLimit); err != nil {
		return err
	}
	return p.update(p.open, lockLimit, change)
}

// takeAtOnce takes slots for a newcomer, or returns ErrBusy with nothing changed.
func (p *Pool) takeAtOnce(req request) (*Lease, error) {
	if err := p.admitsNewcomers(); err != nil {
		return nil, err
	}
	if err := p.checkWeight(req.weight); err != nil {
		return nil, err
	}
	next, err := p.isNext(req)
	if err == nil && !next { // perhaps only the dead are before it
		if _, err = p.reapFirst(); err == nil {
			next, err = p.isNext(req)
		}
	}
	if err != nil {
		return nil, err
	}
	if !next || !p.fits(req.weight) {
		return nil, p.fail(ErrBusy)
	}
	r, rec, err := p.claimRecord(req)
	if err != nil {
		return nil, err
	}
	lease, err := p.takeSlots(r, rec, 0)
	if err != nil {
		p.unclaim(r)
	}
	return lease, err
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

// isNext reports whether no waiter stands before a newcomer.
func (p *Pool) isNext(req request) (bool, error) {
	r, first, err := p.mem.First()
	return r == 0 || int(first.Priority.Load()) > req.priority, err
}

// checkWeight returns ErrTooHeavy if the pool has fewer slots than that. A pool of size 0 is
// paused, and will have another size.
func (p *Pool) checkWeight(weight int) error {
	if size := p.mem.Size(); size > 0 && weight > size {
		return &Error{p.name, ErrTooHeavy, fmt.Errorf("it has %d, and %d were asked for", size, weight)}
	}
	return nil
}

// fits reports whether so many slots are free: by the semaphore, of which foreign programs take
// their share, and by the ledger, since a foreign program can post what it never took.
func (p *Pool) fits(weight int) bool {
	return p.mem.Gate.Value() >= weight && p.mem.InUse()+weight <= p.mem.Size()
}

// claimRecord claims a free record and fills it in. The record stays free: if the process is
// killed, the kernel releases the claim, and nothing has happened.
func (p *Pool) claimRecord(req request) (ledger.Ref, *ledger.Participant, error) {
	r, rec, err := p.mem.PeekFree()
	if r == 0 && err == nil { // the dead in the middle of the line have records, too
		if err = p.reapLine(); err == nil {
			r, rec, err = p.mem.PeekFree()
		}
	}
	if r == 0 && err == nil {
		err = p.fail(ErrFull)
	}
	if err == nil {
		err = p.claim(r)
	}
	if err != nil {
		return 0, nil, err
	}
	crash.Point("claimed")
	rec.Weight.Store(uint32(req.weight))
	rec.Priority.Store(int32(req.priority))
	rec.Ticket.Store(p.mem.Ticket.Add(1))
	rec.Aside.Store(0)
	rec.PID.Store(p.self.pid)
	rec.PIDNamespace.Store(p.self.pidNamespace)
	rec.TimeNamespace.Store(p.self.timeNamespace)
	rec.UID.Store(p.self.uid)
	rec.CommandPID.Store(0)
	rec.CommandSeen.Store(0)
	rec.Since.Store(p.mem.Clock.Now())
	rec.Acquired.Store(0)
	rec.Seen.Store(0)
	rec.Bell.Store(r)
	rec.Leaving.Store(ledger.CountCancelled)
	rec.Guarded.Store(0)
	rec.SetCommand(req.command)
	crash.Point("record filled in")
	return r, rec, nil
}

// takeSlots makes a holder of a newcomer or of the first in line. If a foreign program was faster,
// it returns ErrBusy, and nothing has changed.
func (p *Pool) takeSlots(r ledger.Ref, rec *ledger.Participant, waited time.Duration) (*Lease, error) {
	rec.Acquired.Store(rec.Since.Load() + int64(waited))
	if err := p.mem.Change(ledger.OpTake, r, ledger.CountAcquired); err == sem.ErrWouldBlock {
		return nil, p.fail(ErrBusy)
	} else if err != nil {
		return nil, err
	}
	p.mem.Waits.Observe(waited)
	slots := p.slotsOf(r, rec)
	if len(slots) == 0 { // somebody is scribbling
		return nil, ledger.ErrSlots
	}
	return &Lease{
		pool: p, id: p.leaseID(r, rec), rec: rec,
		slots: slots, items: p.itemsOf(slots), waited: waited, guard: -1,
	}, nil
}

func (p *Pool) leaseID(r ledger.Ref, rec *ledger.Participant) LeaseID {
	return LeaseID{p.name, p.id, r, rec.Ticket.Load()}
}

func (p *Pool) joinLine(req request) (*place, error) {
	r, rec, err := p.claimRecord(req)
	if err != nil {
		return nil, err
	}
	rec.Bell.Store(p.sleepers.bellFor(r))
	if err := p.mem.Change(ledger.OpJoin, r, ledger.CountNothing); err != nil {
		p.unclaim(r)
		return nil, err
	}
	return &place{pool: p, id: p.leaseID(r, rec), rec: rec, came: rec.Since.Load()}, nil
}

var errNotOwn = errors.New("the caller's record belongs to another participant now")

// endParticipation ends a participation of this process by an operation, under the ledger lock, and
// then releases the claim. The order matters: while the claim is held, the record must not be free
// for others. If the lock cannot be had, only the claim is released. Then the record is reaped as
// that of a dead process.
func (p *Pool) endParticipation(limit time.Duration, id LeaseID, op ledger.Op, c ledger.Counter) error {
	rec, err := p.mem.At(id.r)
	if err != nil {
		return err
	}
	locked := false
	err = p.update(p.open, limit, func() error {
		locked = true
		if rec.Ticket.Load() != id.ticket {
			return errNotOwn
		}
		defer p.unclaim(id.r)
		if rec.State.Load() == ledger.StateFree {
			return errNotOwn
		}
		return p.mem.Change(op, id.r, c)
	})
	if !locked {
		rec.Leaving.Store(c)
		p.unclaim(id.r)
	}
	return err
}
