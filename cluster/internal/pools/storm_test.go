package pools

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
	"github.com/poolrun/poolrun/cluster/internal/replay"
	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/pool"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A storm is many requests for the slots of one pool at once, while its size changes, it is drained and
// destroyed, and leases are lost. The requests come from clients at different distances from etcd, and each
// of them pauses between its look and its take, so that much happens in between.
type storm struct {
	t       *testing.T
	cluster *etcdtest.Cluster
	clients []*Pool
	ctx     context.Context // of all requests
	cancel  context.CancelFunc
	over    chan struct{}
	work    sync.WaitGroup

	isBreaking bool // it goes on until a rule is broken

	// How often a take was tried: by a newcomer, beside others in line, by one that has joined ahead of others,
	// and with slots above the size.
	newcomers, besides, jumpers, above atomic.Int64
}

const (
	stormSize     = 6 // at most
	stormRequests = 20
	stormLimit    = 3 * time.Minute

	// calm is how long the requests may take to end when nothing disturbs them any more. A waiter that has
	// missed its turn looks again only after farInterval.
	calm = farInterval - 5*time.Second
)

// distances are the round trips of the clients.
var distances = []time.Duration{0, 0, time.Millisecond, 4 * time.Millisecond}

func TestStorm(t *testing.T) {
	s := newStorm(t)
	report, err := s.run()
	if err != nil {
		t.Error(err)
	}
	if report.Held+report.Waiting > 0 {
		t.Errorf("%d slots are held at the end, and %d waiters wait", report.Held, report.Waiting)
	}
	t.Logf("%+v; takes tried by newcomers %d, beside others in line %d, after a join ahead of others %d, with slots above the size %d",
		report, s.newcomers.Load(), s.besides.Load(), s.jumpers.Load(), s.above.Load())
}

// TestTheStormNeedsTheGuards leaves out the guards without which a storm breaks a rule soon. The scenes of
// TestEachGuardIsNeeded show the same of all guards.
func TestTheStormNeedsTheGuards(t *testing.T) {
	for _, guard := range []string{"pool", "line", "slot", "jump", "drain"} {
		t.Run(guard, func(t *testing.T) {
			withoutGuard = guard
			defer func() { withoutGuard = "" }()
			s := newStorm(t)
			s.isBreaking = true
			report, err := s.run()
			if _, ok := errors.AsType[*replay.Violation](err); !ok {
				t.Errorf("no rule is broken in %d takes: %v", report.Takes, err)
			}
		})
	}
}

// run lets the storm go on until everything has happened often enough, or until a rule is broken.
func (s *storm) run() (replay.Report, error) {
	checker, err := replay.Follow(s.ctx, s.cluster.Client(), s.clients[0].url.Name)
	if err != nil {
		s.t.Fatal(err)
	}
	s.begin()
	if s.wait(checker.Done()) {
		s.cancel()
	}
	s.end()
	return checker.Stop()
}

func newStorm(t *testing.T) *storm {
	s := &storm{t: t, cluster: etcdtest.New(t, etcdtest.Config{}), over: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	t.Cleanup(s.cancel)
	for _, distance := range distances {
		proxy, err := etcdtest.NewProxy(s.cluster.Members[0].Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { proxy.Close() })
		proxy.SetRoundTrip(distance)
		s.clients = append(s.clients, openPool(t, s.cluster.URL(proxy.Address())))
	}
	beforeTake = s.note
	t.Cleanup(func() { beforeTake = func(*participant, *view) {} })
	return s
}

// note counts a take that is tried, and delays it.
func (s *storm) note(p *participant, v *view) {
	for _, kind := range []struct {
		is    bool
		count *atomic.Int64
	}{
		{p.joined == 0, &s.newcomers},
		{len(v.before) > 0, &s.besides},
		{p.jumps, &s.jumpers},
		{slices.ContainsFunc(slices.Collect(maps.Keys(v.slots)), func(slot int) bool { return slot >= v.record.Size }), &s.above},
	} {
		if kind.is {
			kind.count.Add(1)
		}
	}
	time.Sleep(rand.N(5 * time.Millisecond))
}

// wait returns when enough has happened, when the test has failed, or when a rule is broken.
func (s *storm) wait(broken <-chan struct{}) (isBroken bool) {
	limit := time.After(stormLimit)
	for !s.t.Failed() && (s.isBreaking || s.newcomers.Load() < 300 || s.besides.Load() < 300 || s.jumpers.Load() < 100 || s.above.Load() < 10) {
		select {
		case <-broken:
			return true
		case <-limit:
			s.t.Errorf("not enough has happened within %v", stormLimit)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return false
}

func (s *storm) begin() {
	s.create()
	for i := range stormRequests {
		s.repeat(0, func() { s.request(s.clients[i%len(s.clients)]) })
	}
	s.repeat(200*time.Millisecond, func() { s.allow(s.clients[0].Resize(s.ctx, rand.IntN(stormSize+1))) })
	s.repeat(time.Second, s.drain)
	s.repeat(time.Second, s.loseLease)
}

// repeat does something again and again until the storm is over, with random pauses.
func (s *storm) repeat(longest time.Duration, f func()) {
	s.work.Go(func() {
		for {
			select {
			case <-s.over:
				return
			case <-time.After(rand.N(longest + 1)):
				f()
			}
		}
	})
}

// end ends the storm, and waits for the requests that are still made.
func (s *storm) end() {
	close(s.over)
	ended := make(chan struct{})
	go func() {
		s.work.Wait()
		close(ended)
	}()
	limit := time.After(calm)
	for {
		s.create() // after the last drain
		s.allow(s.clients[0].Resize(s.ctx, stormSize))
		select {
		case <-ended:
			return
		case <-time.After(100 * time.Millisecond):
		case <-limit:
			status, err := s.clients[0].Status(s.ctx)
			s.t.Errorf("requests have not ended within %v, though all slots can be had: %+v %v", calm, status, err)
			s.cancel()
			<-ended
			return
		}
	}
}

func (s *storm) create() {
	s.allow(s.clients[0].Create(s.ctx, engine.Config{Size: stormSize}))
}

// allow fails the test at an error that the storm does not cause.
func (s *storm) allow(err error) {
	allowed := []error{
		nil, context.Canceled, context.DeadlineExceeded, pool.ErrBusy, pool.ErrTooHeavy,
		pool.ErrExist, pool.ErrNotExist, pool.ErrDestroyed, pool.ErrDraining,
	}
	if !slices.ContainsFunc(allowed, func(kind error) bool { return errors.Is(err, kind) }) {
		s.t.Error(err)
	}
}

// request asks for slots, holds them for a moment, and gives them back.
func (s *storm) request(p *Pool) {
	wish := engine.Wish{Weight: 1 + rand.IntN(6)/4, Priority: rand.IntN(3) - 1}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	switch rand.IntN(20) {
	case 0:
		wish.Weight = engine.Whole
	case 1:
		wish.Load = 1e9 // nobody may pass it
	case 2:
		wish.Nonblock = true
	case 3:
		wish.MaxWaiting = new(rand.IntN(4))
	case 4, 5:
		wish.Timeout = 1 + rand.N(100*time.Millisecond)
	case 6:
		time.AfterFunc(rand.N(100*time.Millisecond), cancel)
	}
	h, err := p.Acquire(ctx, Request{Wish: wish, IsStopped: func() bool { return false }, Note: func(engine.Event) {}})
	if s.allow(err); err == nil {
		time.Sleep(rand.N(20 * time.Millisecond))
		s.allow(h.Release(context.Background()))
	}
}

// drain drains the pool for a while. A pool that becomes idle is destroyed, and created again.
func (s *storm) drain() {
	ctx, cancel := context.WithTimeout(s.ctx, rand.N(50*time.Millisecond))
	defer cancel()
	if rand.IntN(4) == 0 {
		s.allow(s.clients[0].ForceDestroy(s.ctx))
	} else {
		s.allow(s.clients[0].Drain(ctx))
	}
	s.create()
}

// loseLease ends a lease that a slot or a place in line hangs on.
func (s *storm) loseLease() {
	prefix := s.clients[0].space.Line()
	if rand.IntN(2) == 0 {
		prefix = s.clients[0].space.Slots()
	}
	all, err := s.cluster.Client().Get(s.ctx, prefix, clientv3.WithPrefix())
	if s.allow(err); err == nil && len(all.Kvs) > 0 {
		lost := all.Kvs[rand.IntN(len(all.Kvs))]
		s.allow(s.clients[0].store.RevokeLease(s.ctx, clientv3.LeaseID(lost.Lease)))
	}
}
