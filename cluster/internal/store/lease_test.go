package store

import (
	"context"
	"testing"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
)

// A lease is renewed a third of its term after the last renewal was sent, however late that was answered.
// Otherwise etcd could not be out of reach for a third of the term without consequences.
func TestASlowAnswerDoesNotPutOffTheNextRenewal(t *testing.T) {
	const term, slow = 12 * time.Second, 1900 * time.Millisecond
	cluster := etcdtest.New(t, etcdtest.Config{})
	proxy, err := etcdtest.NewProxy(cluster.Members[0].Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	s, err := Open(Config{Endpoints: []string{cluster.URL(proxy.Address())}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	lease, err := s.Grant(ctx, term)
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Abandon()
	proxy.SetRoundTrip(slow)
	renewed := make(chan int64, 10)
	lease.OnSafe(func(until int64) { renewed <- until })
	for last, n := <-renewed, 0; n < 2; n++ {
		select {
		case safe := <-renewed:
			if interval := time.Duration(safe - last); interval > term/3+slow/2 {
				t.Errorf("renewals are sent %v apart", interval)
			}
			last = safe
		case <-ctx.Done():
			t.Fatal("the lease is not renewed")
		}
	}
}
