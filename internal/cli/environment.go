package cli

import (
	"errors"
	"os"
	"slices"
	"strconv"
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

// An environment is what poolrun itself reads of its environment.
type environment struct {
	flags [numQuickFlags]string // what stands for a flag that is not on the command line, "" for none
}

func readEnvironment() (e environment) {
	for i := range quickFlags {
		if name := quickFlags[i].variable; name != "" {
			e.flags[i] = os.Getenv(name)
		}
	}
	return e
}

// describe adds the description of a command's slots to its environment. It removes the
// description of an outer pool's slots, which would be taken for this pool's.
func describe(env []string, lease pool.LeaseID, slots []int, items []string) []string {
	env = slices.DeleteFunc(env, func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return name == heldVariable || name == slotVariable || name == slotsVariable || name == itemVariable
	})
	env = append(env, heldVariable+"="+held(lease),
		slotVariable+"="+strconv.Itoa(slots[0]), slotsVariable+"="+joinInts(slots))
	if len(items) > 0 {
		env = append(env, itemVariable+"="+strings.Join(items, "\n"))
	}
	return env
}

// maxHeldBytes limits the size of POOLRUN_HELD, because execve(2) limits the size of one string and
// of the whole environment.
const maxHeldBytes = 4096

// held returns the POOLRUN_HELD of a command: this lease and, for each other pool, the latest
// inherited lease that may still be held. So it does not grow when commands start their own
// successors. If it gets too long, the oldest leases are dropped.
func held(lease pool.LeaseID) string {
	text := lease.String()
	listed := map[string]bool{lease.Pool: true}
	for _, outer := range slices.Backward(pool.ParseLeaseIDs(os.Getenv(heldVariable))) {
		if listed[outer.Pool] || !mayBeHeld(outer) {
			continue
		}
		if len(text)+len(outer.String()) > maxHeldBytes {
			break
		}
		text = outer.String() + text
		listed[outer.Pool] = true
	}
	return text
}

// mayBeHeld reports whether a lease still holds slots. A lease on a pool that this user may not
// open counts as held, because a command that runs as another user may be able to check it.
func mayBeHeld(lease pool.LeaseID) bool {
	p, err := pool.Open(lease.Pool)
	if err != nil {
		return errors.Is(err, pool.ErrPermission)
	}
	defer p.Close()
	slots, _, err := p.HeldSlots(lease)
	return err == nil && len(slots) > 0
}

// heldByAncestor returns the lease on this pool in which this process runs already, with its slots
// and items, or no slots. The environment names the lease, and the ledger has to confirm it,
// because a daemon can outlive its slot. If the environment was cleared on the way (sudo, env -i),
// the kernel's locks and the ledger can still show the lease.
func heldByAncestor(p *pool.Pool) (pool.LeaseID, []int, []string) {
	for _, lease := range pool.ParseLeaseIDs(os.Getenv(heldVariable)) {
		if slots, items, err := p.HeldSlots(lease); err == nil && len(slots) > 0 {
			return lease, slots, items
		}
	}
	if lease, slots, items, err := p.HeldByAncestor(); err == nil {
		return lease, slots, items
	}
	return pool.LeaseID{}, nil, nil
}
