package replay

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Violation is the first revision of a pool that breaks a rule.
type Violation struct {
	Pool     string
	Revision int64
	Rule     string // what was done that must not be

	context string
}

func (v *Violation) Error() string {
	return fmt.Sprintf("revision %d of pool %s breaks a rule: %s\n%s", v.Revision, v.Pool, v.Rule, v.context)
}

// How many revisions, and how many waiters, a violation shows.
const remembered, mostShown = 20, 20

// describe shows the state, how it has come about, and the revision that cannot be applied to it.
func (s *State) describe(r revision) string {
	var b strings.Builder
	if s.pool == nil {
		b.WriteString("before it: no pool\n")
	} else {
		fmt.Fprintf(&b, "before it: a pool of size %d\n", s.pool.Size)
	}
	for _, number := range slices.Sorted(maps.Keys(s.slots)) {
		fmt.Fprintf(&b, "  slot %d: %v\n", number, s.slots[number])
	}
	for i, w := range s.line {
		if i == mostShown {
			fmt.Fprintf(&b, "  and %d more waiters\n", len(s.line)-i)
			break
		}
		fmt.Fprintf(&b, "  waiter: %v\n", w)
	}
	for _, key := range slices.Sorted(maps.Keys(s.marks)) {
		if s.has(key) {
			fmt.Fprintf(&b, "  %s: created at %d\n", s.short(key), s.marks[key].CreateRevision)
		}
	}
	for _, p := range append(slices.Clip(s.past), r) {
		fmt.Fprintf(&b, "revision %d:\n", p.number)
		for _, event := range p.events {
			fmt.Fprintf(&b, "  %s\n", s.describeEvent(event))
		}
	}
	return b.String()
}

func (s *State) describeEvent(event *clientv3.Event) string {
	key := s.short(string(event.Kv.Key))
	switch {
	case event.Type == clientv3.EventTypeDelete:
		return "delete " + key
	case event.IsCreate():
		return fmt.Sprintf("create %s, lease %x: %.300s", key, event.Kv.Lease, event.Kv.Value)
	default:
		return fmt.Sprintf("update %s, lease %x: %.300s", key, event.Kv.Lease, event.Kv.Value)
	}
}

// short is a key without what all keys of the pool begin with.
func (s *State) short(key string) string { return strings.TrimPrefix(key, s.space.All()) }

func (h holder) String() string { return fmt.Sprintf("%v on lease %x", h.place, h.lease) }

func (w waiter) String() string {
	if w.overtakes {
		return fmt.Sprintf("%v on lease %x, which joined ahead of others", w.place, w.lease)
	}
	return fmt.Sprintf("%v on lease %x", w.place, w.lease)
}
