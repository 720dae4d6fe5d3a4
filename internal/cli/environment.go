package cli

import (
	"os"
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

// describe adds what a command may know of its slots to its environment.
func describe(env []string, hold pool.Hold, slots []int, items []string) []string {
	held := os.Getenv(heldVariable)
	if !strings.Contains(held+"/", hold.String()+"/") {
		held += hold.String()
	}
	env = set(env, heldVariable, held)
	all := joinInts(slots)
	first, _, _ := strings.Cut(all, ",")
	env = set(env, slotVariable, first)
	env = set(env, slotsVariable, all)
	if len(items) > 0 {
		env = set(env, itemVariable, strings.Join(items, "\n"))
	}
	return env
}

func set(env []string, key, value string) []string {
	for i, entry := range env {
		if strings.HasPrefix(entry, key+"=") {
			env[i] = key + "=" + value
			return env
		}
	}
	return append(env, key+"="+value)
}

// heldByAncestor returns a hold on this pool under which the caller runs already;
// no slots where there is none. The environment says so, and the ledger has to
// confirm it: the caller may be a daemon that has outlived its slot.
func heldByAncestor(p *pool.Pool) (pool.Hold, []int, []string) {
	for _, hold := range pool.ParseHolds(os.Getenv(heldVariable)) {
		if slots, items, err := p.HeldSlots(hold); err == nil && len(slots) > 0 {
			return hold, slots, items
		}
	}
	return pool.Hold{}, nil, nil
}
