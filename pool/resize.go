package pool

import (
	"errors"
	"fmt"

	"github.com/poolrun/poolrun/gate"
)

// Resize gives the pool another size, 0 to MaxSlots. After it has grown, those in
// line take what there is more. After it has shrunk, those who hold slots keep
// them, and what they give back is not handed out again until the pool is down to
// its size. A pool of size 0 is paused. Those who wait for more slots than the
// pool has now get ErrTooHeavy, unless it is paused.
func (p *Pool) Resize(size int) error {
	if size < 0 || size > MaxSlots {
		return &Error{fmt.Sprintf("size %d", size), ErrInvalid, fmt.Errorf("want 0 to %d", MaxSlots)}
	}
	return p.promptly(func() error {
		l := p.ledger
		if l.life.Load() != alive {
			return p.fail(ErrNotExist, nil)
		}
		// All of the difference as debt first, and then as much as can be paid.
		owed := int(l.debt.Load()) + int(l.size.Load()) - size
		after := tokens{size: size, debt: max(owed, 0), gate: max(-owed, 0)}
		if err := p.perform(resize, 0, nothing, after); err != nil {
			return err
		}
		if err := p.payDebt(); err != nil {
			return err
		}
		p.wakeAll()
		return nil
	})
}

// payDebt takes from the gate what the pool owes, as far as it is there: what a
// foreign program posts after the pool has shrunk, too.
func (p *Pool) payDebt() error {
	l := p.ledger
	debt := int(l.debt.Load())
	if debt == 0 {
		return nil
	}
	value, err := p.gate.Value()
	if err != nil {
		return err
	}
	paid := min(debt, value)
	if paid == 0 {
		return nil
	}
	err = p.perform(resize, 0, nothing, tokens{gate: -paid, size: int(l.size.Load()), debt: debt - paid})
	if errors.Is(err, gate.ErrWouldBlock) { // a foreign program was faster
		return nil
	}
	return err
}
