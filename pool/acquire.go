package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/poolrun/poolrun/internal/ledger"
)

// An Option says more about a request for slots.
type Option func(request) request

type request struct {
	weight     int
	whole      bool // all slots that the pool has
	priority   int
	command    string
	onWait     func()
	limitsLine bool // maxWaiting counts
	maxWaiting int
	conditions []condition
	extends    uint64 // the ticket of a lease, 0 for none
	longLived  bool
	unmet      string // the condition that it has to wait for, "" for none
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

// WithAllSlots asks for every slot that the pool has when the turn comes. It replaces WithWeight.
func WithAllSlots() Option {
	return func(r request) request { r.whole = true; return r }
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

// WithMaxWaiting makes Acquire return ErrBusy if no slot is free at once and n or more requests wait
// already, apart from extensions of leases.
func WithMaxWaiting(n int) Option {
	return func(r request) request { r.limitsLine, r.maxWaiting = true, n; return r }
}

// rank is the request's rank in line.
func (r request) rank() int { return ledger.RankOf(r.priority, r.extends != 0) }

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
	r.unmet = r.unmetCondition()
	return r, nil
}

// Acquire takes a slot, first come, first served, and waits for it if necessary. The lease must be
// released.
//
// It returns ctx's error as soon as ctx is done, ErrDestroyed if the pool is destroyed, and
// ErrClosed if it is closed in the meantime. It returns ErrTooHeavy if the pool has, or gets while
// the request waits, fewer slots than were asked for. (A pool of size 0 is paused, and is waited
// for.) With WithMaxWaiting it returns ErrBusy. Other errors are ErrInvalid, ErrDraining, ErrFull,
// ErrDamaged and ErrUnavailable. After an error the caller holds nothing and is not in line.
func (p *Pool) Acquire(ctx context.Context, options ...Option) (lease *Lease, err error) {
	if err := cause(ctx); err != nil {
		return nil, err
	}
	req, err := newRequest(options)
	if err != nil {
		return nil, err
	}
	var place *place
	come := func() (err error) {
		if lease, err = p.takeAtOnce(req); errors.Is(err, ErrBusy) {
			place, err = p.joinLine(req)
		}
		return err
	}
	err = p.use(func() error {
		err := p.update(ctx, 0, come)
		if errors.Is(err, ErrBusy) { // it may not wait: a dead holder's slot is as good as a free one
			if _, _, err = p.reapHolders(ctx, 0); err == nil {
				err = p.update(ctx, 0, come)
			}
			if errors.Is(err, ErrBusy) {
				p.mem.CountOne(ledger.CountBusy)
			}
		}
		return err
	})
	if err != nil || lease != nil {
		return lease, err
	}
	// The caller's functions may close the pool, panic, or end this goroutine.
	returned := false
	defer func() {
		if !returned {
			p.use(func() error { return place.leaveLine(context.Canceled) })
		}
	}()
	if req.onWait != nil {
		req.onWait()
	}
	lease, err = place.wait(ctx)
	returned = true
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
				if next, _ := p.mem.IsNext(req.rank(), req.longLived); !next || !mayReap {
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

// takeAtOnce takes slots for a newcomer, or returns ErrBusy with nothing changed. If the dead may be
// in its way, it reaps them and tries again.
func (p *Pool) takeAtOnce(req request) (*Lease, error) {
	h, err := p.take(req)
	if err == ErrDraining {
		if err = p.reapIfDead(p.mem.Drainer()); err == nil {
			h, err = p.take(req)
		}
	}
	if err == errBehind {
		if _, err = p.reapFirst(); err == nil && req.longLived { // another may be in its way: see lookAtBuilds
			err = p.reapLine()
		}
		if err == nil {
			h, err = p.take(req)
		}
	}
	if err == ErrFull {
		if err = p.reapLine(); err == nil {
			h, err = p.take(req)
		}
	}
	switch err {
	case nil:
		lease, err := p.newLease(h, 0)
		return lease, explain(p.name, err)
	case ErrTooHeavy:
		return nil, p.checkWeight(req.weight)
	case errBehind:
		if p.fits(p.weightOf(req)) {
			return nil, &Error{p.name, ErrBusy, errors.New("others wait for it already")}
		}
	case ErrNotYet:
		return nil, &Error{p.name, ErrNotYet, waitsFor{text: cmp.Or(p.heldBack(req, p.weightOf(req)), req.unmet, p.describeDelay())}}
	}
	return nil, explain(p.name, err)
}

// newLease returns ledger.ErrSlots if no slot names the holder: somebody is scribbling.
func (p *Pool) newLease(h holding, waited time.Duration) (*Lease, error) {
	slots := p.slotsOf(h)
	if len(slots) == 0 {
		return nil, ledger.ErrSlots
	}
	return &Lease{pool: p, holding: h, slots: slots, items: p.itemsOf(slots), waited: waited, guard: -1}, nil
}

// checkWeight returns ErrTooHeavy if the pool has fewer slots than that. A pool of size 0 is
// paused, and will have another size.
func (p *Pool) checkWeight(weight int) error {
	if size := p.mem.Size(); size > 0 && weight > size {
		return &Error{p.name, ErrTooHeavy, fmt.Errorf("it has %d, and %d were asked for", size, weight)}
	}
	return nil
}

// claimAnyRecord is claimRecord. If there is no free record, it reaps the dead in the middle of the
// line, which have records too.
func (p *Pool) claimAnyRecord(req request) (holding, error) {
	h, err := p.claimRecord(req)
	if err == ErrFull {
		if err = p.reapLine(); err == nil {
			h, err = p.claimRecord(req)
		}
	}
	return h, err
}

func (p *Pool) joinLine(req request) (*place, error) {
	if err := p.checkLine(req); err != nil {
		return nil, err
	}
	h, err := p.claimAnyRecord(req)
	if err != nil {
		return nil, err
	}
	h.rec.Bell.Store(p.sleepers.bellFor(h.id.r))
	if err := p.mem.Change(ledger.OpJoin, h.id.r, ledger.CountNothing); err != nil {
		return nil, err
	}
	return &place{pool: p, holding: h, request: req, came: h.rec.Since.Load()}, nil
}

// checkLine returns ErrBusy if the request does not want to wait behind so many others.
func (p *Pool) checkLine(req request) error {
	if !req.limitsLine || p.mem.Waiting() < req.maxWaiting {
		return nil
	}
	if err := p.reapLine(); err != nil { // the dead do not wait
		return err
	}
	waiting := 0
	walk := p.mem.Line()
	for walk.Next() {
		if walk.Extends.Load() == 0 { // the others would be behind it
			waiting++
		}
	}
	if walk.Err != nil || waiting < req.maxWaiting {
		return walk.Err
	}
	return &Error{p.name, ErrBusy, fmt.Errorf("the line has %d already", waiting)}
}

var errNotOwn error = problem("the caller's record belongs to another participant now")

// endParticipation ends a participation of this process: see core.end. If the ledger lock cannot be
// had, the participation is given up, and reaped as that of a dead process.
func (p *Pool) endParticipation(limit time.Duration, h holding, op ledger.Op, c ledger.Counter) error {
	locked := false
	err := p.update(p.open, limit, func() error {
		locked = true
		return p.end(h, op, c)
	})
	if !locked {
		h.rec.Leaving.Store(c)
		p.abandon(h)
	}
	return err
}
