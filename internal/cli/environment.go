package cli

import (
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/poolrun/poolrun/pool"
)

// What the command finds in its environment.
const (
	heldVariable  = "POOLRUN_HELD"  // the holds of this process and its ancestors
	slotVariable  = "POOLRUN_SLOT"  // the first slot's number
	slotsVariable = "POOLRUN_SLOTS" // all, separated by commas
	itemVariable  = "POOLRUN_ITEM"  // what they stand for, separated by newlines
)

// describe adds what a command may know of its slots to its environment. What an outer
// pool has said there goes: it would be taken for this pool's.
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

// unset removes a variable, however often it is there.
func unset(env []string, key string) []string {
	return slices.DeleteFunc(env, func(entry string) bool { return strings.HasPrefix(entry, key+"=") })
}

// maxHeldBytes keeps what is handed on small, whatever was inherited: execve(2) takes
// no string of more than 128 kB, and the environment is part of its limit for all.
const maxHeldBytes = 4096

// held is what a command inherits as POOLRUN_HELD: this hold, and of those that were
// inherited the latest one for each pool that is still held. So it does not grow where
// commands start their own successors. If there are too many, the oldest go.
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

// firstHeld is the text of the first of some holds on a pool that is still held. A pool
// that is closed to the user as whom the caller runs by now cannot be asked: then it is
// the first, since commands that run as another user may be able to ask.
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

// heldByAncestor returns a hold on this pool under which the caller runs already;
// no slots where there is none. The environment says so, and the ledger has to
// confirm it: the caller may be a daemon that has outlived its slot. Where the
// environment was cleared on the way (sudo, env -i), the kernel and the ledger may know.
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
