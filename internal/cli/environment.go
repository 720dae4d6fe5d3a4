package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/pool"
)

// The variables that poolrun sets for the command.
const (
	heldVariable  = "POOLRUN_HELD"  // the leases of this process and its ancestors
	slotVariable  = "POOLRUN_SLOT"  // the number of the first slot
	slotsVariable = "POOLRUN_SLOTS" // the numbers of all slots, separated by commas
	itemVariable  = "POOLRUN_ITEM"  // the items of the slots, separated by newlines
)

// mostItemBytes is how long the value of itemVariable can be: MAX_ARG_STRLEN of linux/binfmts.h limits
// an entry of the environment.
const mostItemBytes = 128<<10 - len(itemVariable+"=") - 1

// checkItems returns an error if items do not fit into itemVariable.
func checkItems(items []string) error {
	if n := len(joinItems(items)); n > mostItemBytes {
		return fmt.Errorf("the items of %d slots are too long for %s: they have %d bytes, and %d fit", len(items), itemVariable, n, mostItemBytes)
	}
	return nil
}

// An environment is what poolrun itself reads of its environment.
type environment struct {
	flags [numQuickFlags]string // what stands for a flag that is not on the command line, "" for none
	held  string
	noted uint // bit i: the variable of flag i was noted; bit numQuickFlags: held was
}

func readEnvironment() (e environment) {
	for i := range quickFlags {
		if name := quickFlags[i].variable; name != "" {
			e.note(name, os.Getenv(name))
		}
	}
	e.note(heldVariable, os.Getenv(heldVariable))
	return e
}

// note notes a variable, unless poolrun does not read it. The first of two variables with the same
// name counts, as in getenv(3). It is bare Go.
func (e *environment) note(name, value string) {
	if !strings.HasPrefix(name, "POOLRUN_") {
		return
	}
	place, bit := (*string)(nil), uint(0)
	if name == heldVariable {
		place, bit = &e.held, 1<<numQuickFlags
	}
	for i := range quickFlags {
		if quickFlags[i].variable == name {
			place, bit = &e.flags[i], 1<<i
		}
	}
	if place != nil && e.noted&bit == 0 {
		*place = value
		e.noted |= bit
	}
}

// isDescription reports whether an entry of the environment describes slots. It is bare Go.
func isDescription(entry string) bool {
	name, _, _ := cutByte(entry, '=')
	return name == heldVariable || name == slotVariable || name == slotsVariable || name == itemVariable
}

// slotVariables are the entries that poolrun adds to the environment of a command. Those that are
// not needed are "".
type slotVariables [4]string

// describe describes the slots of a lease, in the form of entries of an environment, each of which
// is a C string in the buffer. Entries that are not needed are "". It is bare Go.
func describe(text *bare.Text, held string, slots []int, items []string) (v slotVariables) {
	text.Add(heldVariable + "=")
	text.Add(held)
	v[0] = text.End()
	text.Add(slotVariable + "=")
	text.AddNumber(uint64(slots[0]), 10)
	v[1] = text.End()
	text.Add(slotsVariable + "=")
	addNumbers(text, slots)
	v[2] = text.End()
	if len(items) == 0 {
		return v
	}
	text.Add(itemVariable + "=")
	for i := range items {
		if i > 0 {
			text.AddByte('\n')
		}
		text.Add(items[i])
	}
	v[3] = text.End()
	return v
}

// addNumbers adds numbers separated by commas. It is bare Go.
func addNumbers(text *bare.Text, list []int) {
	for i := range list {
		if i > 0 {
			text.AddByte(',')
		}
		text.AddNumber(uint64(list[i]), 10)
	}
}

// joinInts returns numbers separated by commas.
func joinInts(list []int) string {
	text := bare.In(make([]byte, 20*len(list)))
	addNumbers(&text, list)
	return text.String()
}

// withDescription adds the description of a command's slots to its environment. It removes the
// description of an outer pool's slots, which would be taken for this pool's.
func withDescription(env []string, lease pool.LeaseID, slots []int, items []string) []string {
	size := 1 << 13
	for _, text := range items {
		size += len(text) + 1
	}
	text := bare.In(make([]byte, size+5*len(slots)))
	env = slices.DeleteFunc(env, isDescription)
	for _, entry := range describe(&text, pool.ListHeld(lease, os.Getenv(heldVariable)), slots, items) {
		if entry != "" {
			env = append(env, entry)
		}
	}
	return env
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
