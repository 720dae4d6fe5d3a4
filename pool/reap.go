package pool

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/poolrun/poolrun/internal/ledger"
)

// The dead are participants whose process has ended without releasing its slots or leaving the
// line. The kernel's locks tell which they are. To reap one is to end its participation.

// isDead reports whether a participant is dead. It is alive while any process holds its claim or
// its guard. A holder is also alive while its command may be running, because a command can close
// the guard that it has inherited, as sudo does.
func (p *Pool) isDead(rec *ledger.Participant) (bool, error) {
	locked, err := p.isLocked(rec)
	return err == nil && !locked && !p.commandMayRun(rec), err
}

// isPlainlyDead reports whether a participant is dead, as far as that shows at once: nobody holds its
// claim or its guard, and no process of this pid namespace has the pid of its command. It is bare Go.
func (c *core) isPlainlyDead(rec *ledger.Participant) bool {
	if locked, err := c.isLocked(rec); locked || err != nil {
		return false
	}
	pid := rec.CommandPID.Load()
	return pid <= 0 || rec.PIDNamespace.Load() == c.self.pidNamespace && hasEnded(pid)
}

// reapHolders takes the slots of dead holders back. It returns how many there were, and whether any
// holder is kept alive only by its command's pid: the end of such a holder raises no event. It
// waits for the ledger lock as update does.
//
// It does not hold the lock while it asks for every holder, so that newcomers do not have to wait
// for that. Therefore it asks again, under the lock, for those that seemed dead.
func (p *Pool) reapHolders(ctx context.Context, limit time.Duration) (reaped int, silent bool, err error) {
	dead, silent, err := p.suspects()
	if len(dead) == 0 || err != nil {
		return 0, silent, err
	}
	err = p.update(ctx, limit, func() error {
		for _, s := range dead {
			rec, err := p.mem.At(s.r)
			if err != nil {
				return err
			}
			if rec.State.Load() != ledger.StateHeld || rec.Ticket.Load() != s.ticket {
				continue
			}
			dead, err := p.isDead(rec)
			if dead && err == nil {
				err = p.reap(s.r, rec)
				reaped++
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return reaped, silent, err
}

// A suspect is a holder that seemed dead.
type suspect struct {
	r      ledger.Ref
	ticket uint64
}

// suspects lists the holders that seem dead. If only the pid of a command speaks for a holder, and that
// counts in another pid namespace, it notes the namespace for the processes that wait there: see doze.
// It has no ledger lock, so it may miss a holder, and the next scan finds it.
func (p *Pool) suspects() (dead []suspect, silent bool, err error) {
	unproven := uint32(0)
	var holders []ledger.Ref
	slots := p.mem.InUse()
	for i := 0; i < MaxSlots && slots > 0; i++ {
		if r := p.mem.Holder(i); r != 0 {
			holders = append(holders, r)
			slots--
		}
	}
	slices.Sort(holders)
	holders = slices.Compact(holders) // one may hold several slots
	census := p.takeCensus(len(holders))
	for _, r := range holders {
		rec, err := p.mem.At(r)
		if err != nil {
			return nil, false, err
		}
		ticket := rec.Ticket.Load()
		if rec.State.Load() != ledger.StateHeld {
			continue
		}
		locked, err := census.isLocked(rec)
		switch {
		case err != nil:
			return nil, false, err
		case locked:
		case p.commandMayRun(rec):
			silent = true
			// Without its own /proc, this process cannot tell the command from a later process with its pid.
			if ns := rec.PIDNamespace.Load(); ns != p.self.pidNamespace || !procIsOwn() {
				unproven = ns
			}
		default:
			dead = append(dead, suspect{r, ticket})
		}
	}
	if !p.object.ReadOnly {
		p.mem.Unproven.Store(unproven)
	}
	return dead, silent, nil
}

// reapFirst takes the dead out of the line's head, and returns the first in line, which is alive.
// The dead behind it hinder nobody until they come to the head or records become scarce.
func (p *Pool) reapFirst() (ledger.Ref, error) {
	for {
		r, rec, err := p.mem.First()
		if r == 0 || err != nil {
			return 0, err
		}
		dead, err := p.isDead(rec)
		if !dead || err != nil {
			return r, err
		}
		if err := p.reap(r, rec); err != nil {
			return 0, err
		}
	}
}

// reapLine takes the dead out of the whole line.
func (p *Pool) reapLine() error {
	census := p.takeCensus(p.mem.Waiting())
	var dead []ledger.Walk
	walk := p.mem.Line()
	for walk.Next() {
		locked, err := census.isLocked(walk.Participant)
		if err != nil {
			return err
		}
		if !locked {
			dead = append(dead, walk)
		}
	}
	if walk.Err != nil {
		return walk.Err
	}
	for _, d := range dead {
		if err := p.reap(d.Ref, d.Participant); err != nil {
			return err
		}
	}
	return nil
}

// reapWaiting reaps all of the dead except for holders, which are reapHolders' business. A dead
// drainer is among them: newcomers are admitted again.
func (p *Pool) reapWaiting() error {
	return cmp.Or(p.reapIfDead(p.mem.Drainer()), p.reapLine())
}

// reapIfDead reaps a participant if it is dead. It may be nobody, or free.
func (p *Pool) reapIfDead(r ledger.Ref) error {
	if r == 0 {
		return nil
	}
	rec, err := p.mem.At(r)
	if err != nil || rec.State.Load() == ledger.StateFree {
		return err
	}
	if dead, err := p.isDead(rec); err != nil || !dead {
		return err
	}
	return p.reap(r, rec)
}

// reap ends the participation of a dead participant. It is bare Go.
func (c *core) reap(r ledger.Ref, rec *ledger.Participant) error {
	switch rec.State.Load() {
	case ledger.StateHeld:
		return c.mem.Change(ledger.OpGive, r, ledger.CountReclaimed)
	case ledger.StateWaiting:
		counter := ledger.CountCancelled
		if rec.Leaving.Load() == ledger.CountTimedOut { // as it has noted: see endParticipation
			counter = ledger.CountTimedOut
		}
		return c.mem.Change(ledger.OpLeave, r, counter)
	case ledger.StateDraining:
		return c.mem.Change(ledger.OpLeave, r, ledger.CountNothing)
	}
	return nil
}
