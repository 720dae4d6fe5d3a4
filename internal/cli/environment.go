package cli

import (
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/poolrun/poolrun/pool"
)

// The variables that poolrun sets for the command.
const (
	heldVariable  = "POOLRUN_HELD"  // the leases of this process and its ancestors
	slotVariable  = "POOLRUN_SLOT"  // the number of the first slot
	slotsVariable = "POOLRUN_SLOTS" // the numbers of all slots, separated by commas
	itemVariable  = "POOLRUN_ITEM"  // the items of the slots, separated by newlines
)

// describe adds the description of a command's slots to its environment. It removes the description
// of an outer pool's slots, which would be taken for this pool's.
func describe(env []string, hold pool.LeaseID, slots []int, items []string) []string {
	all := joinInts(slots)
	first, _, _ := strings.Cut(all, ",")
	env = set(env, heldVariable, held(hold))
	env = set(env, slotVariable, first)
	env = set(env, slotsVariable, all)
	if len(items) > 0 {
		return set(env, itemVariable, strings.Join(items, "\n"))
	}
	return unset(env, itemVariable)
}

func set(env []string, key, value string) []string {
	return append(unset(env, key), key+"="+value)
}

// unset removes all entries of a variable.
func unset(env []string, key string) []string {
	return slices.DeleteFunc(env, func(entry string) bool { return strings.HasPrefix(entry, key+"=") })
}

// maxHeldBytes limits the size of POOLRUN_HELD, because execve(2) limits the size of one string and
// of the whole environment.
const maxHeldBytes = 4096

// held returns the POOLRUN_HELD of a command: this hold and, for each other pool, the latest
// inherited hold that still holds slots. So it does not grow when commands start their own
// successors. If it gets too long, the oldest holds are dropped.
func held(hold pool.LeaseID) string {
	text := hold.String()
	var pools []string // the latest first
	holds := map[string][]pool.LeaseID{}
	for _, outer := range slices.Backward(pool.ParseLeaseIDs(os.Getenv(heldVariable))) {
		if holds[outer.Pool] == nil {
			pools = append(pools, outer.Pool)
		}
		holds[outer.Pool] = append(holds[outer.Pool], outer)
	}
	for _, name := range pools {
		if name == hold.Pool {
			continue
		}
		outer := firstHeld(name, holds[name])
		if len(text)+len(outer) > maxHeldBytes {
			break
		}
		text = outer + text
	}
	return text
}

// firstHeld returns the first of these holds on a pool that still holds slots, or "" if none does.
// If this user may not open the pool, it returns the first hold unchecked, because a command that
// runs as another user may be able to check it.
func firstHeld(name string, holds []pool.LeaseID) string {
	p, err := pool.Open(name)
	if errors.Is(err, pool.ErrPermission) {
		return holds[0].String()
	}
	if err != nil {
		return ""
	}
	defer p.Close()
	for _, hold := range holds {
		if slots, _, err := p.HeldSlots(hold); err == nil && len(slots) > 0 {
			return hold.String()
		}
	}
	return ""
}

// heldByAncestor returns the hold on this pool under which this process runs already, with its
// slots and items. It returns no slots if there is none. The hold is in the environment, and the
// ledger has to confirm it, because a daemon can outlive its slot. If the environment was cleared
// on the way (sudo, env -i), the kernel's locks and the ledger can still show the hold.
func heldByAncestor(p *pool.Pool) (pool.LeaseID, []int, []string) {
	for _, hold := range pool.ParseLeaseIDs(os.Getenv(heldVariable)) {
		if slots, items, err := p.HeldSlots(hold); err == nil && len(slots) > 0 {
			return hold, slots, items
		}
	}
	if hold, slots, items, err := p.HeldByAncestor(); err == nil {
		return hold, slots, items
	}
	return pool.LeaseID{}, nil, nil
}
