package pool

import (
	"context"
	"errors"
	"time"

	"github.com/poolrun/poolrun/gate"
)

// An Option says more about a request for slots.
type Option func(*request)

type request struct {
	weight  int
	command string
	waits   func()
}

// WithCommand sets the text that Status shows for the participant: usually a
// command line. Its first bytes are kept.
func WithCommand(text string) Option { return func(r *request) { r.command = text } }

// OnWait sets a function that is called once, when the request has joined the
// line.
func OnWait(f func()) Option { return func(r *request) { r.waits = f } }

func newRequest(options []Option) request {
	r := request{weight: 1}
	for _, option := range options {
		option(&r)
	}
	return r
}

// Acquire takes a slot, first come, first served, and waits for one if it has
// to. The lease must be released.
//
// It returns ctx's error, at once, when ctx is done before; ErrDestroyed when the
// pool is destroyed before; ErrDraining, ErrFull or ErrDamaged. After any error
// the caller holds nothing and has left the line.
func (p *Pool) Acquire(ctx context.Context, options ...Option) (*Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	req := newRequest(options)
	var lease *Lease
	var turn *turn
	err := p.locked(ctx, func() (err error) {
		if lease, err = p.arrive(req); !errors.Is(err, ErrBusy) {
			return err
		}
		turn, err = p.joinLine(req)
		return err
	})
	if err != nil || lease != nil {
		return lease, err
	}
	if req.waits != nil {
		req.waits()
	}
	return turn.wait(ctx)
}

// TryAcquire takes a slot if one is free and nobody waits for it; ErrBusy
// otherwise. Other errors are as from Acquire.
func (p *Pool) TryAcquire(options ...Option) (*Lease, error) {
	var lease *Lease
	err := p.promptly(func() (err error) {
		lease, err = p.arrive(newRequest(options))
		if errors.Is(err, ErrBusy) {
			p.ledger.counters[busy].Add(1)
		}
		return err
	})
	return lease, err
}

// arrive takes slots for a newcomer, or returns ErrBusy with nothing changed.
func (p *Pool) arrive(req request) (*Lease, error) {
	if err := p.admitsNewcomers(); err != nil {
		return nil, err
	}
	if p.first() != 0 || !p.fits(req.weight) {
		// Perhaps it is the dead who stand in the way.
		if err := p.reapFirst(); err != nil {
			return nil, err
		}
		if _, err := p.reapHolders(); err != nil {
			return nil, err
		}
		if p.first() != 0 || !p.fits(req.weight) {
			return nil, p.fail(ErrBusy, nil)
		}
	}
	r, err := p.recruit(req)
	if err != nil {
		return nil, err
	}
	lease, err := p.takeSlots(r, 0)
	if err != nil {
		p.unclaim(r)
	}
	return lease, err
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
		return 0, p.fail(ErrFull, nil)
	}
	if err := p.claim(r); err != nil {
		return 0, p.fail(ErrRefused, err)
	}
	step("claimed")
	rec := p.ledger.at(r)
	rec.weight.Store(uint32(req.weight))
	rec.priority.Store(0)
	rec.ticket.Store(p.ledger.ticket.Add(1))
	rec.aside.Store(0)
	rec.pid.Store(p.self.pid)
	rec.pidNamespace.Store(p.self.namespace)
	rec.uid.Store(p.self.uid)
	rec.commandPID.Store(0)
	rec.commandStart.Store(0)
	rec.since.Store(time.Now().UnixNano())
	rec.acquired.Store(0)
	rec.commandLength.Store(uint32(copy(rec.command[:], req.command)))
	step("record filled in")
	return r, nil
}

// takeSlots makes a holder of a newcomer or of the first in line; ErrBusy with
// nothing changed where a foreign program was faster.
func (p *Pool) takeSlots(r ref, waited time.Duration) (*Lease, error) {
	rec := p.ledger.at(r)
	rec.acquired.Store(time.Now().UnixNano())
	switch err := p.change(take, r, acquired); {
	case errors.Is(err, gate.ErrWouldBlock):
		return nil, p.fail(ErrBusy, nil)
	case err != nil:
		return nil, err
	}
	p.ledger.waits.observe(waited)
	return &Lease{
		pool: p, r: r, ticket: rec.ticket.Load(), slots: p.ledger.slotsOf(r),
		waited: waited, guard: -1,
	}, nil
}

func (p *Pool) joinLine(req request) (*turn, error) {
	r, err := p.recruit(req)
	if err != nil {
		return nil, err
	}
	if err := p.change(join, r, nothing); err != nil {
		p.unclaim(r)
		return nil, err
	}
	return &turn{p: p, r: r, ticket: p.ledger.at(r).ticket.Load(), came: time.Now()}, nil
}
