package pool

// The dead: participants whose process has ended without releasing its slots or
// leaving the line. The kernel's locks tell who they are.

// isDead reports whether a participant has come to its end. It is alive while
// anybody has its claim or its guard; a holder also while its command runs,
// where that can be seen: a command can close what it inherited, as sudo does.
func (p *Pool) isDead(r ref) (bool, error) {
	locked, err := p.isLocked(r)
	if locked || err != nil {
		return false, err
	}
	return !p.commandRuns(r), nil
}

func (p *Pool) commandRuns(r ref) bool {
	rec := p.ledger.at(r)
	pid := rec.commandPID.Load()
	return rec.state.Load() == held && pid > 0 &&
		rec.pidNamespace.Load() == p.self.namespace && isRunning(pid, rec.commandSeen.Load())
}

// reapHolders takes the slots of the dead back. It reports whether there are
// holders that only their command's pid keeps alive: their end raises no event.
func (p *Pool) reapHolders() (silent bool, err error) {
	for r := range p.ledger.holding {
		locked, err := p.isLocked(r)
		switch {
		case err != nil:
			return false, err
		case locked:
		case p.commandRuns(r):
			silent = true
		default:
			if err := p.change(give, r, reclaimed); err != nil {
				return false, err
			}
		}
	}
	return silent, nil
}

// reapFirst takes the dead out of the line's head, so that the first in line is
// alive. The dead behind it hinder nobody until they come to the head.
func (p *Pool) reapFirst() error {
	for {
		r := p.first()
		if r == 0 {
			return nil
		}
		if dead, err := p.isDead(r); err != nil || !dead {
			return err
		}
		if err := p.change(leave, r, cancelled); err != nil {
			return err
		}
	}
}

// reapDrainer lifts the ban on newcomers if whoever imposed it has died.
func (p *Pool) reapDrainer() error {
	r := p.ledger.drainer.Load()
	if r == 0 {
		return nil
	}
	if dead, err := p.isDead(r); err != nil || !dead {
		return err
	}
	return p.change(leave, r, nothing)
}
