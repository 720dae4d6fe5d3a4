package pool

import "context"

// The dead: participants whose process has ended without releasing its slots or
// leaving the line. The kernel's locks tell who they are.

// isDead reports whether a participant has come to its end. It is alive while
// anybody has its claim or its guard; a holder also while its command may run: a
// command can close what it inherited, as sudo does.
func (p *Pool) isDead(r ref) (bool, error) {
	locked, err := p.isLocked(r)
	if locked || err != nil {
		return false, err
	}
	return !p.commandRuns(r), nil
}

// reapHolders takes the slots of the dead back, and reports how many there were, and
// whether there are holders that only their command's pid keeps alive: their end raises
// no event.
//
// It does not hold the ledger lock while it asks for every holder: newcomers must not
// wait for that. So what it finds is looked at once more under the lock.
func (p *Pool) reapHolders(ctx context.Context) (reaped int, silent bool, err error) {
	var dead []suspect
	err = p.safely(func() (err error) {
		dead, silent, err = p.suspects()
		return err
	})
	if len(dead) == 0 || err != nil {
		return 0, silent, err
	}
	err = p.locked(ctx, func() error {
		for _, s := range dead {
			rec := p.ledger.must(s.r)
			if rec.state.Load() != held || rec.ticket.Load() != s.ticket {
				continue
			}
			if dead, err := p.isDead(s.r); err != nil {
				return err
			} else if !dead {
				continue
			}
			if err := p.reap(s.r); err != nil {
				return err
			}
			reaped++
		}
		return nil
	})
	return reaped, silent, err
}

// A suspect is a holder that seemed to be dead.
type suspect struct {
	r      ref
	ticket uint64
}

func (p *Pool) suspects() (dead []suspect, silent bool, err error) {
	l := p.ledger
	seen := map[ref]bool{}
	for i := 0; i < MaxSlots && len(seen) < int(min(l.inUse.Load(), MaxSlots)); i++ {
		if r := l.holders[i].Load(); r != 0 {
			seen[r] = true
		}
	}
	census := p.takeCensus(len(seen))
	for r := range seen {
		rec := l.at(r)
		ticket := rec.ticket.Load()
		if rec.state.Load() != held {
			continue
		}
		locked, err := census.isLocked(r)
		switch {
		case err != nil:
			return nil, false, err
		case locked:
		case p.commandRuns(r):
			silent = true
		default:
			dead = append(dead, suspect{r, ticket})
		}
	}
	return dead, silent, nil
}

// reapFirst takes the dead out of the line's head, so that the first in line is
// alive. The dead behind it hinder nobody until they come to the head, or records
// become scarce.
func (p *Pool) reapFirst() error {
	for {
		r := p.first()
		if r == 0 {
			return nil
		}
		if dead, err := p.isDead(r); err != nil || !dead {
			return err
		}
		if err := p.reap(r); err != nil {
			return err
		}
	}
}

// reapLine takes the dead out of all of the line.
func (p *Pool) reapLine() error {
	l := p.ledger
	census := p.takeCensus(int(min(l.waiting.Load(), MaxParticipants)))
	var dead []ref
	for r := range l.line {
		locked, err := census.isLocked(r)
		if err != nil {
			return err
		}
		if !locked {
			dead = append(dead, r)
		}
	}
	for _, r := range dead {
		if err := p.reap(r); err != nil {
			return err
		}
	}
	return nil
}

// reapDrainer lifts the ban on newcomers if whoever imposed it has died.
func (p *Pool) reapDrainer() error { return p.reapIfDead(p.ledger.drainer.Load()) }

// reapAll takes all dead out but the holders, which reapHolders does.
func (p *Pool) reapAll() error {
	if err := p.reapDrainer(); err != nil {
		return err
	}
	return p.reapLine()
}

// reapIfDead is reap for a participant, or nobody, that may be alive, or free.
func (p *Pool) reapIfDead(r ref) error {
	if rec := p.ledger.at(r); rec == nil || rec.state.Load() == free {
		return nil
	}
	if dead, err := p.isDead(r); err != nil || !dead {
		return err
	}
	return p.reap(r)
}

// reap ends the participation of a dead one.
func (p *Pool) reap(r ref) error {
	rec := p.ledger.must(r)
	switch rec.state.Load() {
	case held:
		return p.change(give, r, reclaimed)
	case waiting:
		counter := cancelled
		if rec.leaving.Load() == timedOut { // it has said so before: see depart
			counter = timedOut
		}
		return p.change(leave, r, counter)
	case draining:
		return p.change(leave, r, nothing)
	}
	return nil
}
