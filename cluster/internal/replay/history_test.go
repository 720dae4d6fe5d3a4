package replay

import (
	"errors"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/poolrun/poolrun/cluster/internal/keys"
)

// A history is written by a test, one revision after the other.
type history struct {
	t     *testing.T
	space keys.Space
	state *State
	next  int64                       // the revision that comes
	keys  map[string]*mvccpb.KeyValue // that exist
}

type events []*clientv3.Event

// newHistory begins with a pool.
func newHistory(t *testing.T, p keys.Pool) *history {
	h := &history{t, keys.Of("/x"), NewState("/x"), 1, map[string]*mvccpb.KeyValue{}}
	h.apply(h.pool(p))
	return h
}

// apply lets a revision consist of the events, which break no rule.
func (h *history) apply(parts ...events) {
	h.t.Helper()
	if err := h.try(parts); err != nil {
		h.t.Fatal(err)
	}
}

// wantViolation lets a revision consist of events that break a rule.
func (h *history) wantViolation(rule string, parts ...events) {
	h.t.Helper()
	number := h.next
	violation, ok := errors.AsType[*Violation](h.try(parts))
	if !ok || violation.Revision != number || !strings.Contains(violation.Rule, rule) {
		h.t.Errorf("revision %d: %v, want a violation: %s", number, violation, rule)
	}
}

func (h *history) try(parts []events) error {
	var all events
	for _, part := range parts {
		all = append(all, part...)
	}
	for _, e := range all {
		if key := string(e.Kv.Key); e.Type == clientv3.EventTypeDelete {
			delete(h.keys, key)
		} else {
			h.keys[key] = e.Kv
		}
	}
	h.next++
	return h.state.Apply(h.next-1, all)
}

func (h *history) put(key, value string, lease int64) events {
	kv := &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), Lease: lease, CreateRevision: h.next, ModRevision: h.next, Version: 1}
	if old := h.keys[key]; old != nil {
		kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
	}
	return events{{Type: clientv3.EventTypePut, Kv: kv}}
}

func (h *history) remove(key string) events {
	return events{{Type: clientv3.EventTypeDelete, Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: h.next}}}
}

func (h *history) pool(p keys.Pool) events {
	p.Layout, p.Lease = keys.Layout, keys.DefaultLease
	return h.put(h.space.Pool(), keys.Encode(p), 0)
}

// A waiter's lease is its ID.
func (h *history) join(p keys.Place) events { return h.put(h.space.Waiter(p), "{}", p.ID) }

func (h *history) leave(p keys.Place) events { return h.remove(h.space.Waiter(p)) }

// hold is the keys of slots, without what else a take consists of.
func (h *history) hold(p keys.Place, slots ...int) (all events) {
	for _, slot := range slots {
		all = append(all, h.put(h.space.Slot(slot), keys.Encode(keys.Participant{Place: p.String()}), p.ID)...)
	}
	return all
}

func (h *history) free(slot int) events { return h.remove(h.space.Slot(slot)) }

func (h *history) b() events { return h.put(h.space.Takes(), "", 0) }
func (h *history) c() events { return h.put(h.space.Jumps(), "", 0) }
func (h *history) d() events { return h.put(h.space.Drain(), "", 1) }

// take is the take of a waiter, jump that of a newcomer.
func (h *history) take(p keys.Place, slots ...int) (all events) {
	return append(append(h.hold(p, slots...), h.b()...), h.leave(p)...)
}

func (h *history) jump(p keys.Place, slots ...int) (all events) {
	return append(append(h.hold(p, slots...), h.b()...), h.c()...)
}

// came is a place for one slot, of a waiter that came at a revision.
func came(revision int64) keys.Place {
	return keys.Place{Revision: revision, ID: 100 + revision, Weight: 1}
}
