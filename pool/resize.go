package pool

import (
	"fmt"

	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/sem"
)

// Resize gives the pool another size, from 0 to MaxSlots. After it has grown, waiters take the new
// slots. After it has shrunk, holders keep their slots, and what they give back is not handed out
// again until the pool is down to its size. A pool of size 0 is paused. Waiters for more slots than
// the pool has now get ErrTooHeavy, unless it is paused.
//
// It returns ErrInvalid, ErrNotExist if the pool was destroyed, or ErrStuck. After an error the
// size is unchanged.
func (p *Pool) Resize(size int) error {
	if size < 0 || size > MaxSlots {
		return &Error{fmt.Sprintf("size %d", size), ErrInvalid, fmt.Errorf("want 0 to %d", MaxSlots)}
	}
	return p.use(func() error {
		return p.update(p.open, lockLimit, func() error {
			if p.mem.Life.Load() != ledger.LifeAlive {
				return p.fail(ErrNotExist)
			}
			// First the whole difference becomes debt, and then as much as possible is paid.
			owed := p.mem.Debt() + p.mem.Size() - size
			if err := p.mem.Resize(ledger.Tokens{Size: size, Debt: max(owed, 0), Gate: max(-owed, 0)}); err != nil {
				return err
			}
			if err := p.payDebt(); err != nil {
				return err
			}
			return p.mem.WakeAll()
		})
	})
}

// payDebt takes from the gate what the pool owes, as far as it is there: also what a foreign
// program has posted since the pool shrank.
func (p *Pool) payDebt() error {
	debt := p.mem.Debt()
	if debt == 0 {
		return nil
	}
	paid := min(debt, p.mem.Gate.Value())
	if paid == 0 {
		return nil
	}
	err := p.mem.Resize(ledger.Tokens{Gate: -paid, Size: p.mem.Size(), Debt: debt - paid})
	if err == sem.ErrWouldBlock { // a foreign program was faster
		return nil
	}
	return err
}
