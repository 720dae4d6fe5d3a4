package replay

import (
	"errors"
	"fmt"
)

// check checks a change against the rules that concern the state before it.
func (s *State) check(c *change) error {
	if s.pool == nil && c.pool != nil && len(s.slots)+len(s.line) > 0 {
		return errors.New("a pool is created before all of the last one is gone")
	}
	for _, w := range c.joined {
		if err := s.checkJoin(w, c.revision); err != nil {
			return fmt.Errorf("the join of %v: %w", w.place, err)
		}
	}
	taker, isTake := c.taker()
	if !isTake {
		return nil
	}
	for _, check := range []func(*change, holder) error{s.checkSlots, s.checkLine, s.checkRoom} {
		if err := check(c, taker); err != nil {
			return fmt.Errorf("the take of %v: %w", taker.place, err)
		}
	}
	return nil
}

// checkJoin: nobody joins the line of a pool that does not exist or that drains, except a waiter that
// came before the drain and lost its key. Nobody comes at a revision that is still to come.
func (s *State) checkJoin(w waiter, revision int64) error {
	drain := s.marks[s.space.Drain()].GetCreateRevision()
	switch {
	case s.pool == nil:
		return errNoPool
	case drain != 0 && w.place.Revision >= drain:
		return fmt.Errorf("the pool drains since revision %d", drain)
	case w.place.Revision > revision:
		return fmt.Errorf("it says that it came at revision %d", w.place.Revision)
	}
	return nil
}

var errNoPool = errors.New("there is no pool")

// checkSlots: a take consists of as many slots as the weight of the taker. They are below the size of
// the pool, and on one lease. That they were free is checked before (checkHistory).
func (s *State) checkSlots(c *change, taker holder) error {
	if s.pool == nil {
		return errNoPool
	}
	for number, h := range c.taken {
		switch {
		case number >= s.pool.Size:
			return fmt.Errorf("it has slot %d of %d", number, s.pool.Size)
		case h.place != taker.place:
			return fmt.Errorf("one of its slots has the place %v", h.place)
		case h.lease != taker.lease:
			return fmt.Errorf("one of its slots has the lease %x, another %x", taker.lease, h.lease)
		case h.lease == 0:
			return errors.New("its slots have no lease")
		}
	}
	if weight := taker.place.Of(s.pool.Size); len(c.taken) != weight {
		return fmt.Errorf("it has %d slots, and its weight is %d", len(c.taken), weight)
	}
	return nil
}

// checkLine: a taker that stands in line leaves it in the same revision, and nobody else does. A taker
// that does not stand in line makes a jump, which a drain forbids. Every take puts b, whose version so
// counts them: one that has been missed is noticed. A take that the waiters could not see coming puts c
// too: a jump, and the take of a waiter that joined ahead of others.
func (s *State) checkLine(c *change, taker holder) error {
	own := s.space.Waiter(taker.place)
	i, stands := s.find(own)
	jumps := c.isJump()
	takes, before := c.marks[s.space.Takes()].GetVersion(), s.marks[s.space.Takes()].GetVersion()
	switch {
	case jumps && stands:
		return errors.New("it stays in line")
	case jumps && s.has(s.space.Drain()):
		return errors.New("it jumps while the pool drains")
	case len(c.left) > 1:
		return fmt.Errorf("%d waiters leave the line", len(c.left))
	case !jumps && c.left[0].key != own:
		return fmt.Errorf("waiter %v leaves the line", c.left[0].place)
	case !c.puts(s.space.Takes()):
		return errors.New("it does not put b")
	case takes != before+1:
		return fmt.Errorf("b has version %d, and had version %d", takes, before)
	case jumps && !c.puts(s.space.Jumps()):
		return errors.New("it jumps and does not put c")
	case !jumps && s.line[i].overtakes && !c.puts(s.space.Jumps()):
		return errors.New("it joined ahead of others and does not put c")
	}
	return nil
}

// checkRoom: a take leaves enough slots for all that stand before the taker, and passes none that
// waits for a condition.
func (s *State) checkRoom(_ *change, taker holder) error {
	size := s.pool.Size
	before, _ := s.find(s.space.Waiter(taker.place))
	kept := 0
	for _, w := range s.line[:before] {
		if w.place.Held {
			return fmt.Errorf("it passes %v, which nobody may pass", w.place)
		}
		kept += w.place.Of(size)
	}
	if weight := taker.place.Of(size); len(s.slots)+kept+weight > size {
		return fmt.Errorf("%d slots held, %d kept for those before it, and %d taken are more than %d", len(s.slots), kept, weight, size)
	}
	return nil
}
