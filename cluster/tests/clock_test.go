package tests

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/keys"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The order and the lease do not depend on the clocks of machines, and ages are never negative.
func TestClocksMayDifferByHours(t *testing.T) {
	t.Parallel()
	p, c := newPoolIn(t, shared(t), 1), shared(t)
	lease, err := c.Client().Grant(t.Context(), 600)
	must(t, err)
	for i, off := range []time.Duration{7 * time.Hour, -7 * time.Hour} {
		record := keys.Encode(keys.Participant{Host: "elsewhere", PID: 1 + i, User: "alice", Command: "other", Since: time.Now().Add(off)})
		place := keys.Place{Revision: lease.Revision + int64(i), ID: int64(lease.ID), Weight: 1}
		_, err := c.Client().Put(t.Context(), keys.Of(p.name).Waiter(place), record, clientv3.WithLease(lease.ID))
		must(t, err)
		_, err = c.Client().Put(t.Context(), keys.Of(p.name).Slot(0), record, clientv3.WithLease(lease.ID))
		must(t, err)
		out, _ := outputs(t, poolrun(t, "status", p.url(), "--format", "json"))
		var ages struct {
			Holders []struct {
				Held float64 `json:"held_seconds"`
			}
			Waiters []struct {
				Waited float64 `json:"waited_seconds"`
			}
		}
		must(t, json.Unmarshal([]byte(out), &ages))
		if ages.Holders[0].Held < 0 || ages.Waiters[i].Waited < 0 {
			t.Errorf("%s", out)
		}
	}
	own := mustStart(t, poolrun(t, "--pool", p.url(), "true"))
	s := waitForLine(t, p.url(), 3)
	if s.Waiters[0].PID != 1 || s.Waiters[1].PID != 2 || s.Waiters[2].PID != own.Process.Pid {
		t.Errorf("%+v", s.Waiters)
	}
	_, err = c.Client().Revoke(t.Context(), lease.ID)
	must(t, err)
	wantExit(t, 0, own)
	wantEmpty(t, p.url())
}
