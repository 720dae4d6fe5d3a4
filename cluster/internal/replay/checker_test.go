package replay

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
	"github.com/poolrun/poolrun/cluster/internal/keys"
)

// A scene is a pool in a real etcd, of which a test writes the keys.
type scene struct {
	t      *testing.T
	client *clientv3.Client
	space  keys.Space
}

func newScene(t *testing.T, cluster *etcdtest.Cluster) *scene {
	s := &scene{t, cluster.Client(), keys.Of("/x")}
	s.commit(clientv3.OpPut(s.space.Pool(), keys.Encode(keys.Pool{Layout: keys.Layout, Size: 1, Lease: keys.DefaultLease})))
	return s
}

func (s *scene) bounded() context.Context {
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	s.t.Cleanup(cancel)
	return ctx
}

// persist makes a request until it succeeds. One that is made twice has the effect of one.
func (s *scene) persist(request func(context.Context) error) {
	s.t.Helper()
	ctx := s.bounded()
	for {
		err := request(ctx)
		if err == nil {
			return
		}
		select {
		case <-time.After(askInterval):
		case <-ctx.Done():
			s.t.Fatal(err)
		}
	}
}

// commit returns the revision that consists of the operations.
func (s *scene) commit(ops ...clientv3.Op) (revision int64) {
	s.t.Helper()
	s.persist(func(ctx context.Context) error {
		r, err := s.client.Txn(ctx).Then(ops...).Commit()
		if err == nil {
			revision = r.Header.Revision
		}
		return err
	})
	return revision
}

// jump takes slot 0 on a lease, which it returns with the revision.
func (s *scene) jump() (lease clientv3.LeaseID, revision int64) {
	s.t.Helper()
	var place keys.Place
	s.persist(func(ctx context.Context) error {
		granted, err := s.client.Grant(ctx, 60)
		if err == nil {
			lease, place = granted.ID, keys.Place{Revision: granted.Revision, ID: int64(granted.ID), Weight: 1}
		}
		return err
	})
	return lease, s.commit(
		clientv3.OpPut(s.space.Slot(0), keys.Encode(keys.Participant{Place: place.String()}), clientv3.WithLease(lease)),
		clientv3.OpPut(s.space.Takes(), ""),
		clientv3.OpPut(s.space.Jumps(), ""))
}

func (s *scene) release(lease clientv3.LeaseID) {
	s.t.Helper()
	s.persist(func(ctx context.Context) error {
		if _, err := s.client.Revoke(ctx, lease); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return err
		}
		return nil
	})
}

func (s *scene) follow(client *clientv3.Client) *Checker {
	s.t.Helper()
	c, err := Follow(s.t.Context(), client, "/x")
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func TestACheckerSeesAllThatHappensBeforeStop(t *testing.T) {
	s := newScene(t, etcdtest.New(t, etcdtest.Config{}))
	c := s.follow(s.client)
	const n = 100
	for range n {
		lease, _ := s.jump()
		s.release(lease)
	}
	s.jump()
	s.commit(clientv3.OpPut("elsewhere", ""))
	r, err := c.Stop()
	want := Report{Revisions: 2*n + 2, Takes: n + 1, Jumps: n + 1, MostHeld: 1, LeasesEnded: n, Held: 1}
	if err != nil || r != want {
		t.Errorf("report\n%+v, %v, want\n%+v", r, err, want)
	}
	if again, err := c.Stop(); again != r || err != nil {
		t.Errorf("the second report is %+v, %v", again, err)
	}
}

func TestACheckerNamesTheRevisionThatBreaksARule(t *testing.T) {
	s := newScene(t, etcdtest.New(t, etcdtest.Config{}))
	c := s.follow(s.client)
	s.jump()
	wrong := s.commit(clientv3.OpPut(s.space.Line()+"nobody", ""))
	s.commit(clientv3.OpPut(s.space.Line()+"nobody else", ""))
	select {
	case <-c.Done():
	case <-s.bounded().Done():
		t.Fatal("the checker goes on")
	}
	_, err := c.Stop()
	if v, ok := errors.AsType[*Violation](err); !ok || v.Revision != wrong {
		t.Errorf("error %v, want a violation at revision %d", err, wrong)
	}
}

func TestACheckerGoesOnWhenMembersFail(t *testing.T) {
	cluster := etcdtest.New(t, etcdtest.Config{Members: 3})
	s := newScene(t, cluster)
	c := s.follow(s.client)
	for i, m := range cluster.Members {
		end, begin := m.Kill, m.Restart
		if i == 0 {
			end, begin = m.Stop, m.Continue
		}
		if err := errors.Join(end(), begin(), m.WaitHealthy()); err != nil {
			t.Fatal(err)
		}
		lease, _ := s.jump()
		s.release(lease)
	}
	if r, err := c.Stop(); err != nil || r.Takes != 3 {
		t.Errorf("report %+v, %v", r, err)
	}
}

// throughProxy returns a client that reaches the first member through a proxy.
func throughProxy(t *testing.T, cluster *etcdtest.Cluster) (*clientv3.Client, *etcdtest.Proxy) {
	t.Helper()
	proxy, err := etcdtest.NewProxy(cluster.Members[0].Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	config := cluster.ClientConfig()
	config.Endpoints = []string{cluster.URL(proxy.Address())}
	client, err := clientv3.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, proxy
}

func TestACheckerLeavesAMemberThatIsSilent(t *testing.T) {
	cluster := etcdtest.New(t, etcdtest.Config{})
	s := newScene(t, cluster)
	client, proxy := throughProxy(t, cluster)
	c := s.follow(client)
	proxy.Cut()
	client.SetEndpoints(cluster.Endpoints()...) // does not end the watch
	s.jump()
	if r, err := c.Stop(); err != nil || r.Takes != 1 {
		t.Errorf("report %+v, %v", r, err)
	}
}

func TestACheckerSaysThatItHasMissedSomething(t *testing.T) {
	cluster := etcdtest.New(t, etcdtest.Config{})
	s := newScene(t, cluster)
	status, err := s.client.Status(s.bounded(), cluster.Endpoints()[0])
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(status.Version, "3.4.") {
		t.Skip("it may tell progress too early")
	}
	client, proxy := throughProxy(t, cluster)
	c := s.follow(client)

	m := cluster.Members[0]
	if err := m.Kill(); err != nil { // so that the watch ends
		t.Fatal(err)
	}
	proxy.Cut()
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	lease, _ := s.jump()
	s.release(lease)
	_, last := s.jump()
	s.persist(func(ctx context.Context) error {
		if _, err := s.client.Compact(ctx, last); !errors.Is(err, rpctypes.ErrCompacted) {
			return err
		}
		return nil
	})
	proxy.Heal()
	if _, err := c.Stop(); !errors.Is(err, errCompacted) {
		t.Errorf("error %v", err)
	}
}

func TestAPoolInUseCannotBeFollowed(t *testing.T) {
	s := newScene(t, etcdtest.New(t, etcdtest.Config{}))
	s.jump()
	if _, err := Follow(t.Context(), s.client, "/x"); !errors.Is(err, errUsed) {
		t.Errorf("error %v", err)
	}
}
