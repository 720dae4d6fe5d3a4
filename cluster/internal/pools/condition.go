package pools

import (
	"context"
	"fmt"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/keys"
	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/internal/machine"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A condition is what a request waits for besides slots, once its turn has come.
type condition struct {
	text  string
	holds func() bool
}

func conditionsOf(wish engine.Wish) (list []condition) {
	if wish.Memfree > 0 {
		list = append(list, condition{machine.MemoryText(wish.MemfreeText), func() bool { return machine.HasMemory(wish.Memfree) }})
	}
	if wish.Load > 0 {
		list = append(list, condition{machine.LoadText(wish.Load), func() bool { return machine.IsBelow(wish.Load) }})
	}
	return list
}

// unmet says what the participant, whose turn it is, has to wait for, "" for nothing.
//
// In a pool with a delay only the first in line may start, so that nobody is faster than it when the delay
// is over.
func (p *participant) unmet(v *view) string {
	for _, c := range p.conditions {
		if !c.holds() {
			return c.text
		}
	}
	if delay := v.record.Delay; delay > 0 && (p.starts.left(v) > 0 || len(v.before) > 0) {
		return fmt.Sprintf("the delay of %v between two starts", delay)
	}
	return ""
}

// retry is after how long a participant looks again that waits for something besides slots, if that is earlier than
// it does anyway.
func (p *participant) retry(v *view) <-chan time.Time {
	if left := p.starts.left(v); left > 0 && left < pollInterval {
		return time.After(left)
	}
	return nil
}

// starts measures how long ago the last start in a pool with a delay was. Clocks of other machines say
// nothing about that. So it is counted from when this process first saw the take; or the server counts: each take
// puts a key on a lease that lasts longer than the delay, and when that is gone, the delay is over.
type starts struct {
	take int64 // its revision
	seen int64 // when it was seen first, by engine.Now
}

// left is how long the delay still lasts.
func (s *starts) left(v *view) time.Duration {
	if v.record.Delay == 0 || v.takes == 0 || !v.paused {
		return 0
	}
	now := engine.Now()
	if s.take != v.takes {
		s.take, s.seen = v.takes, now
	}
	return max(v.record.Delay-time.Duration(now-s.seen), 0)
}

// grantPause gets the lease for the key that says that a start is made. The take puts that key. etcd counts from
// here, which is earlier: so the lease lasts longer than the delay, by much more than a take can take.
func (p *participant) grantPause(ctx context.Context, v *view) error {
	if v.record.Delay == 0 {
		return nil
	}
	lease, err := p.store.Grant(ctx, v.record.Delay+pauseMargin)
	if err != nil {
		return p.explain(err)
	}
	lease.Abandon()
	p.pause = lease.ID
	return nil
}

// dropPause gives that lease back after a take that was not made. It would last as long as the delay.
func (p *participant) dropPause() {
	if id := p.pause; id != 0 {
		p.pause = 0
		p.inBackground(func(ctx context.Context) { p.store.RevokeLease(ctx, id) })
	}
}

const pauseMargin = 10 * time.Second

// note shows in the record of a waiter what it waits for besides slots.
func (p *participant) note(ctx context.Context, unmet string) error {
	if p.record.WaitsFor == unmet {
		return nil
	}
	p.record.WaitsFor = unmet
	if p.joined == 0 {
		return nil
	}
	_, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.If(clientv3.Compare(clientv3.CreateRevision(p.key()), "=", p.joined)).
			Then(clientv3.OpPut(p.key(), keys.Encode(p.record), clientv3.WithIgnoreLease()))
	})
	return p.explain(err)
}
