package replay

import (
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/poolrun/poolrun/cluster/internal/keys"
)

// A change is what a revision did, by the kinds of keys. Updates that only change what is for people are not
// in it.
type change struct {
	revision  int64
	pool      *keys.Pool // what it made of the pool, nil if nothing
	destroyed bool       // it deleted the pool
	taken     map[int]holder
	freed     []int
	joined    []waiter
	left      []waiter
	resumed   []waiter                    // that stay where they are, on another lease
	marks     map[string]*mvccpb.KeyValue // all other keys that it put; nil for those that it deleted
}

// puts reports whether the change has put one of the other keys.
func (c *change) puts(key string) bool { return c.marks[key] != nil }

// taker returns one of the slots taken. All have to be alike.
func (c *change) taker() (taker holder, isTake bool) {
	for _, taker = range c.taken {
		return taker, true
	}
	return taker, false
}

// isJump reports whether a take is of a newcomer.
func (c *change) isJump() bool { return len(c.left) == 0 }

// read sorts the events of a revision. Its errors are those of single events.
func (s *State) read(r revision) (*change, error) {
	c := &change{revision: r.number, taken: map[int]holder{}, marks: map[string]*mvccpb.KeyValue{}}
	seen := map[string]bool{}
	for _, event := range r.events {
		key := string(event.Kv.Key)
		if seen[key] {
			return nil, fmt.Errorf("key %s is changed twice in one revision", key)
		}
		seen[key] = true
		if err := s.readEvent(c, event, key); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (s *State) readEvent(c *change, event *clientv3.Event, key string) error {
	switch {
	case key == s.space.Pool():
		return c.readPool(event)
	case strings.HasPrefix(key, s.space.Slots()):
		return s.readSlot(c, event, key)
	case strings.HasPrefix(key, s.space.Line()):
		return s.readWaiter(c, event, key)
	case event.Type == clientv3.EventTypeDelete:
		c.marks[key] = nil
	default:
		c.marks[key] = event.Kv
	}
	return nil
}

func (c *change) readPool(event *clientv3.Event) error {
	if event.Type == clientv3.EventTypeDelete {
		c.destroyed = true
		return nil
	}
	pool, err := keys.ReadPool(event.Kv.Value)
	c.pool = &pool
	return err
}

func (s *State) readSlot(c *change, event *clientv3.Event, key string) error {
	number, err := s.space.SlotOf(key)
	if err != nil {
		return err
	}
	old, isHeld := s.slots[number]
	if err := checkHistory(event, key, isHeld); err != nil {
		return err
	}
	if event.Type == clientv3.EventTypeDelete {
		c.freed = append(c.freed, number)
		return nil
	}
	place, err := keys.ParsePlace(keys.ReadParticipant(event.Kv.Value).Place)
	if err != nil {
		return fmt.Errorf("the place in %s: %w", key, err)
	}
	h := holder{event.Kv.Lease, place}
	if event.IsCreate() {
		c.taken[number] = h
	} else if h != old {
		return fmt.Errorf("slot %d, held by %v, is changed to %v", number, old, h)
	}
	return nil
}

func (s *State) readWaiter(c *change, event *clientv3.Event, key string) error {
	place, err := s.space.PlaceOf(key)
	if err != nil {
		return err
	}
	i, isWaiting := s.find(key)
	if err := checkHistory(event, key, isWaiting); err != nil {
		return err
	}
	switch {
	case event.Type == clientv3.EventTypeDelete:
		c.left = append(c.left, s.line[i])
	case event.IsCreate():
		c.joined = append(c.joined, waiter{key: key, lease: event.Kv.Lease, place: place})
	case event.Kv.Lease != s.line[i].lease:
		c.resumed = append(c.resumed, waiter{key, event.Kv.Lease, place, i+1 < len(s.line)})
	}
	return nil
}

// checkHistory checks that a key is created if it does not exist, and updated or deleted if it does.
// Otherwise the events are not all that happened.
func checkHistory(event *clientv3.Event, key string, exists bool) error {
	switch creates := event.IsCreate(); {
	case creates && exists:
		return fmt.Errorf("key %s is created and exists already", key)
	case !creates && !exists:
		return fmt.Errorf("key %s is updated or deleted and does not exist", key)
	}
	return nil
}
