package replay

import (
	"maps"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/poolrun/poolrun/cluster/internal/keys"
)

// A State is a pool as its keys were after a revision.
type State struct {
	name   string
	space  keys.Space
	pool   *keys.Pool                  // nil if there is no pool
	slots  map[int]holder              // by the number of the slot
	line   []waiter                    // in the order of the keys
	marks  map[string]*mvccpb.KeyValue // all other keys; nil for those that were deleted
	past   []revision                  // the last ones
	report Report
}

// A holder holds one slot.
type holder struct {
	lease int64
	place keys.Place
}

// A waiter stands in line.
type waiter struct {
	key       string
	lease     int64
	place     keys.Place
	overtakes bool // it joined, or was resumed, ahead of others
}

// A revision is what it did to the pool.
type revision struct {
	number int64
	events []*clientv3.Event
}

// A Report counts what has happened to a pool.
type Report struct {
	Revisions   int // that changed the pool
	Takes       int
	Jumps       int // the takes of newcomers
	Paused      int // takes while the key e existed, if the pool had a delay
	Joins       int
	MostHeld    int // slots at once
	LongestLine int
	LeasesEnded int // while slots or places in line were on them
	Held        int // slots at the end
	Waiting     int // at the end
}

// NewState returns the state before a pool exists. The name begins with a slash.
func NewState(name string) *State {
	return &State{name: name, space: keys.Of(name), slots: map[int]holder{}, marks: map[string]*mvccpb.KeyValue{}}
}

// Apply changes the state as a revision did. The events are all those of the revision that concern the
// pool. If the revision breaks a rule, Apply returns a *Violation and does not change the state.
func (s *State) Apply(number int64, events []*clientv3.Event) error {
	r := revision{number, events}
	c, err := s.read(r)
	if err == nil {
		err = s.check(c)
	}
	if err != nil {
		return &Violation{Pool: s.name, Revision: number, Rule: err.Error(), context: s.describe(r)}
	}
	s.count(c)
	s.change(c)
	s.report.Revisions++
	s.report.MostHeld = max(s.report.MostHeld, len(s.slots))
	s.report.LongestLine = max(s.report.LongestLine, len(s.line))
	s.past = append(s.past[max(len(s.past)-remembered+1, 0):], r)
	return nil
}

// Report returns what has been counted so far.
func (s *State) Report() Report {
	r := s.report
	r.Held, r.Waiting = len(s.slots), len(s.line)
	return r
}

func (s *State) count(c *change) {
	if len(c.taken) > 0 {
		s.report.Takes++
		if c.isJump() {
			s.report.Jumps++
		}
		if s.pool.Delay > 0 && s.has(s.space.Pause()) {
			s.report.Paused++
		}
	} else if !c.destroyed {
		s.report.LeasesEnded += len(s.leasesOf(c))
	}
	s.report.Joins += len(c.joined)
}

// leasesOf returns the leases of the keys that a change has deleted.
func (s *State) leasesOf(c *change) map[int64]bool {
	leases := map[int64]bool{}
	for _, number := range c.freed {
		leases[s.slots[number].lease] = true
	}
	for _, w := range c.left {
		leases[w.lease] = true
	}
	return leases
}

func (s *State) change(c *change) {
	if c.destroyed {
		s.pool = nil
	}
	if c.pool != nil {
		s.pool = c.pool
	}
	for _, number := range c.freed {
		delete(s.slots, number)
	}
	for _, w := range c.resumed {
		i, _ := s.find(w.key)
		s.line[i] = w
	}
	for _, w := range c.left {
		i, _ := s.find(w.key)
		s.line = slices.Delete(s.line, i, i+1)
	}
	for number, h := range c.taken {
		s.slots[number] = h
	}
	for _, w := range c.joined {
		i, _ := s.find(w.key)
		w.overtakes = i < len(s.line)
		s.line = slices.Insert(s.line, i, w)
	}
	maps.Copy(s.marks, c.marks)
}

// find returns where a key stands in line, or would stand.
func (s *State) find(key string) (index int, found bool) {
	return slices.BinarySearchFunc(s.line, key, func(w waiter, key string) int { return strings.Compare(w.key, key) })
}

// has reports whether one of the keys that are neither the pool, slots nor waiters exists.
func (s *State) has(key string) bool { return s.marks[key] != nil }
