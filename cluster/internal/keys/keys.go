// Package keys defines how a pool is laid out in etcd: the names of its keys, and the records that are
// their values.
//
// All keys of the pool NAME begin with PREFIX/p/NAME/. What follows is, in the order of the keys:
//
//	a                     the pool: a Pool
//	b                     put by each take. Its Version is the number of takes so far, its ModRevision
//	                      their epoch
//	c                     put by each jump: a take that the waiters could not see coming
//	d                     a drain, on the lease of the process that drains
//	e                     a start was made less than the pool's delay ago, on a lease of its own
//	h/SLOT                a slot that is held, on the holder's lease: a Participant
//	w/PRIO/REV/ID.WEIGHT  a waiter, on its lease: a Participant
//
// A waiter's key is its Place. Key order is the order of the line: PRIO is the priority + 20 in two
// digits, REV the revision of the store when the waiter came, in 16 hexadecimal digits, and ID tells
// waiters apart that came at the same revision.
//
// Everything that is read is checked and bounded here: other users may write the keys too.
package keys

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/pool"
)

// Prefix begins all keys. Its last element is the version of the layout.
const Prefix = "/poolrun/v1"

// Layout is the version of the layout of a pool, which its record names.
const Layout = 1

// MaxWeight is how many slots one take can have: etcd limits the operations of a transaction to 128
// (--max-txn-ops).
const MaxWeight = 100

// A Space is the key space of one pool.
type Space struct{ root string }

// Of returns the key space of a pool. The name begins with a slash.
func Of(name string) Space { return Space{Prefix + "/p" + name + "/"} }

// Names is the prefix of the keys that list the pools.
const Names = Prefix + "/pools/"

// Entry is the key that lists a pool. The name begins with a slash.
func Entry(name string) string { return Names + name[1:] }

// NameOf returns the pool that a key below Names lists.
func NameOf(entry string) (name string, ok bool) {
	base, ok := strings.CutPrefix(entry, Names)
	if !ok || strings.HasPrefix(base, "/") {
		return "", false
	}
	name, err := pool.CheckName(base)
	return name, err == nil
}

func (s Space) All() string   { return s.root }
func (s Space) Pool() string  { return s.root + "a" }
func (s Space) Takes() string { return s.root + "b" }
func (s Space) Jumps() string { return s.root + "c" }
func (s Space) Drain() string { return s.root + "d" }
func (s Space) Pause() string { return s.root + "e" }

// Slots and Line are the prefixes of the keys of slots and of waiters.
func (s Space) Slots() string { return s.root + "h/" }
func (s Space) Line() string  { return s.root + "w/" }

// Slot is the key of a slot.
func (s Space) Slot(number int) string { return fmt.Sprintf("%sh/%04d", s.root, number) }

// Waiter is the key of a waiter.
func (s Space) Waiter(p Place) string { return s.Line() + p.String() }

// Came is the first key that a waiter can have that came at a revision.
func (s Space) Came(priority int, revision int64) string {
	return fmt.Sprintf("%s%02d/%016x", s.Line(), priority-pool.MinPriority, revision)
}

// errForeign means that poolrun has not written a key.
var errForeign = errors.New("poolrun has not written it")

// SlotOf returns the number of the slot whose key this is.
func (s Space) SlotOf(key string) (int, error) {
	text, ok := strings.CutPrefix(key, s.Slots())
	n, err := strconv.ParseUint(text, 10, 16)
	if !ok || err != nil || s.Slot(int(n)) != key || n >= pool.MaxSlots {
		return 0, fmt.Errorf("key %q: %w", key, errForeign)
	}
	return int(n), nil
}

// PlaceOf returns the place of the waiter whose key this is.
func (s Space) PlaceOf(key string) (Place, error) {
	text, ok := strings.CutPrefix(key, s.Line())
	if ok {
		if p, err := ParsePlace(text); err == nil {
			return p, nil
		}
	}
	return Place{}, fmt.Errorf("key %q: %w", key, errForeign)
}

// A Place is the place of a waiter in the line: what makes up its key.
type Place struct {
	Priority int
	Revision int64 // of the store when it came
	ID       int64 // tells those apart that came at the same revision: the first lease of the waiter
	Weight   int   // slots; Whole for as many as the pool has
	Held     bool  // nobody may pass it: it waits for a condition too, once it is first
}

// Whole is the weight of a waiter that asks for all slots that the pool has when its turn comes.
const Whole = engine.Whole

// Of is the number of slots that the weight stands for in a pool of a size.
func (p Place) Of(size int) int {
	if p.Weight == Whole {
		return size
	}
	return p.Weight
}

const whole, held = "all", "c"

// String is the place as it stands in the key, and in the record of a holder.
func (p Place) String() string {
	weight, mark := strconv.Itoa(p.Weight), ""
	if p.Weight == Whole {
		weight = whole
	}
	if p.Held {
		mark = held
	}
	return fmt.Sprintf("%02d/%016x/%016x.%s%s", p.Priority-pool.MinPriority, uint64(p.Revision), uint64(p.ID), weight, mark)
}

// ParsePlace is the inverse of String.
func ParsePlace(text string) (p Place, err error) {
	var priority, revision, id, weight string
	rest := text
	for _, field := range []struct {
		to        *string
		separator string
	}{{&priority, "/"}, {&revision, "/"}, {&id, "."}} {
		var ok bool
		if *field.to, rest, ok = strings.Cut(rest, field.separator); !ok {
			return p, errForeign
		}
	}
	weight, p.Held = strings.CutSuffix(rest, held)
	n, err1 := strconv.ParseUint(priority, 10, 8)
	r, err2 := strconv.ParseUint(revision, 16, 63)
	i, err3 := strconv.ParseUint(id, 16, 63)
	w, err4 := strconv.ParseUint(weight, 10, 16)
	if p.Weight = int(w); weight == whole {
		p.Weight, err4 = Whole, nil
	}
	p.Priority, p.Revision, p.ID = int(n)+pool.MinPriority, int64(r), int64(i)
	if errors.Join(err1, err2, err3, err4) != nil || p.Priority > pool.MaxPriority || p.Weight == 0 || p.Weight > pool.MaxSlots || p.String() != text {
		return Place{}, errForeign
	}
	return p, nil
}
