package pools

import (
	"errors"
	"testing"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
	"github.com/poolrun/poolrun/cluster/internal/keys"
	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/pool"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// What happens if etcd does not answer a request, or if its answer is lost.

// newFarPool makes a pool, and opens it through a proxy.
func newFarPool(t *testing.T, cluster *etcdtest.Cluster) (s *stage, far *Pool, proxy *etcdtest.Proxy) {
	t.Helper()
	proxy, err := etcdtest.NewProxy(cluster.Members[0].Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	s, far = newStage(t, cluster, engine.Config{Size: 1}), openPool(t, cluster.URL(proxy.Address()))
	_, err = far.look(s.ctx, far.endOfLine()) // it is connected
	s.must(err)
	return s, far, proxy
}

// loseAnswer calls a function whose first request is made, but gets no answer in the time that a try has, 2 s.
func loseAnswer(proxy *etcdtest.Proxy, call func()) {
	proxy.SetRoundTrip(3 * time.Second)
	time.AfterFunc(2200*time.Millisecond, func() { proxy.SetRoundTrip(0) })
	call()
}

func TestWhatIsRemovedWithoutAnAnswerIsRemoved(t *testing.T) {
	cluster := etcdtest.New(t, etcdtest.Config{})
	t.Run("force", func(t *testing.T) {
		s, far, proxy := newFarPool(t, cluster)
		loseAnswer(proxy, func() { s.must(far.ForceDestroy(s.ctx)) })
		if err := far.ForceDestroy(s.ctx); !errors.Is(err, pool.ErrNotExist) {
			t.Errorf("the second time: %v", err)
		}
	})
	t.Run("idle", func(t *testing.T) {
		s, far, proxy := newFarPool(t, cluster)
		v, err := far.look(s.ctx, far.endOfLine())
		s.must(err)
		r := far.removal()
		loseAnswer(proxy, func() {
			_, err := r.try(s.ctx, v)
			s.must(err)
		})
		_, err = far.look(s.ctx, far.endOfLine())
		if !errors.Is(err, pool.ErrNotExist) || r.explain(err) != nil {
			t.Errorf("%v, explained as %v", err, r.explain(err))
		}
	})
}

// A take whose answer was lost is found also if the place in line has gone since, and was put again.
func TestATakeWithoutAnAnswerIsFoundAfterAnotherJoin(t *testing.T) {
	cluster := etcdtest.New(t, etcdtest.Config{})
	s := newStage(t, cluster, engine.Config{Size: 1})
	holder := s.holder(engine.Wish{Weight: 1})
	late := s.waiter(engine.Wish{Weight: 1})
	holder.end()
	late.look()
	want := late.take()
	if late.uncertain = late.joined; len(want) != 1 || late.seen.own != late.joined {
		t.Fatalf("slots %v, and in line at %d", want, late.seen.own)
	}
	_, err := cluster.Client().Revoke(s.ctx, late.waiter.ID)
	s.must(err)
	<-late.waiter.Gone()
	slots, _, _, err := late.awaitOnce(s.ctx, late.seen)
	if s.must(err); len(slots) != 1 {
		t.Errorf("the slots %v instead of %v", slots, want)
	}
}

// A request that does not wait does not wait for etcd either, at whatever moment that falls silent.
func TestARequestThatDoesNotWaitEnds(t *testing.T) {
	s, far, proxy := newFarPool(t, etcdtest.New(t, etcdtest.Config{}))
	beforeTake = func(*participant, *view) { proxy.Cut() }
	defer func() { beforeTake = func(*participant, *view) {} }()
	began := time.Now()
	_, err := far.Acquire(s.ctx, Request{
		Wish: engine.Wish{Weight: 1, Nonblock: true}, IsStopped: func() bool { return false }, Note: func(engine.Event) {},
	})
	if took := time.Since(began); !errors.Is(err, pool.ErrUnavailable) || took > 2*firstLimit {
		t.Errorf("after %v: %v", took, err)
	}
	proxy.Heal()
}

// A take that is not made leaves no lease behind that lasts as long as the pool's delay.
func TestATakeThatIsNotMadeLeavesNoLease(t *testing.T) {
	cluster := etcdtest.New(t, etcdtest.Config{})
	const delay = 24 * time.Hour
	s := newStage(t, cluster, engine.Config{Size: 1, Delay: delay})
	late := s.newcomer(engine.Wish{Weight: 1})
	s.holder(engine.Wish{Weight: 1}).end()
	if slots := late.take(); slots != nil {
		t.Fatalf("slots %v are taken", slots)
	}
	for {
		n := 0
		leases, err := cluster.Client().Leases(s.ctx)
		s.must(err)
		for _, lease := range leases.Leases {
			answer, err := cluster.Client().TimeToLive(s.ctx, clientv3.LeaseID(lease.ID))
			if s.must(err); answer.GrantedTTL >= int64(delay/time.Second) {
				n++
			}
		}
		if n == 1 { // that of the take which was made
			return
		}
	}
}

// A signal that is seen again, because the answer to it was lost, is answered again, and not sent again.
func TestASignalWithoutAnAnswerIsSentOnce(t *testing.T) {
	cluster := etcdtest.New(t, etcdtest.Config{})
	s := newStage(t, cluster, engine.Config{Size: 1})
	holder := s.newcomer(engine.Wish{Weight: 1})
	h := holder.hold(holder.take(), 0, holder.seen, Request{})
	s.must(h.Update(s.ctx, func(r *keys.Participant) { r.Signal = &keys.Signal{ID: "one", Number: 1} }))
	list, err := h.read(s.ctx, h.slots)
	s.must(err)
	sent := 0
	for range 2 {
		s.must(h.obey(s.ctx, list[0], func(int) error { sent++; return errors.New("it has ended") }))
		s.must(h.Update(s.ctx, func(r *keys.Participant) {
			if want := (keys.Signal{ID: "one", Number: 1, Done: true, Error: "it has ended"}); r.Signal == nil || *r.Signal != want || sent != 1 {
				t.Errorf("sent %d times, and answered %+v", sent, r.Signal)
			}
			r.Signal.Done = false
		}))
	}
}
