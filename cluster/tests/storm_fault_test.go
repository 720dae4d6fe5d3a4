package tests

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A fault is what can happen to the cluster. It lasts until it is undone.
type fault struct {
	name string
	do   func(s *storm, random *rand.Rand) (undo func() error, err error)
}

var faults = []fault{
	{"leader killed", onLeader((*etcdtest.Member).Kill, (*etcdtest.Member).Restart)},
	{"leader stopped", onLeader((*etcdtest.Member).Stop, (*etcdtest.Member).Continue)},
	{"leader cut off", onLeader(cut, heal)},
	{"member killed", onAny(1, (*etcdtest.Member).Kill, (*etcdtest.Member).Restart)},
	{"quorum stopped", onAny(2, (*etcdtest.Member).Stop, (*etcdtest.Member).Continue)},
	{"quorum killed", onAny(2, (*etcdtest.Member).Kill, (*etcdtest.Member).Restart)},
	{"machine cut off", cutMachine(3)},
	{"machine cut off from a member", cutMachine(1)},
	{"compaction", compact},
	{"full store", fillStore},
}

// fault lets one thing fail for a while that is shorter or longer than a lease, and then waits until all is
// well.
func (s *storm) fault(random *rand.Rand) {
	f := faults[random.IntN(len(faults))]
	lasts, name := shorterThanLease, f.name+" shortly"
	if random.IntN(2) == 0 {
		lasts, name = longerThanLease, f.name+" for long"
	}
	lasts += time.Duration(random.Int64N(int64(time.Second)))
	undo, err := f.do(s, random)
	if undo == nil {
		lasts, name = 0, f.name
	}
	s.counts.add(name)
	s.sleep(lasts)
	if undo != nil {
		err = errors.Join(err, undo())
	}
	if err = errors.Join(err, s.cluster.WaitHealthy()); err != nil {
		s.t.Errorf("%s: %v", name, err)
	}
	s.sleep(time.Duration(random.Int64N(int64(calmAfterFault))))
}

func cut(m *etcdtest.Member) error  { m.Cut(); return nil }
func heal(m *etcdtest.Member) error { m.Heal(); return nil }

func onLeader(do, undo func(*etcdtest.Member) error) func(*storm, *rand.Rand) (func() error, error) {
	return func(s *storm, _ *rand.Rand) (func() error, error) {
		leader, err := s.cluster.Leader()
		if err != nil {
			return nil, err
		}
		return func() error { return undo(leader) }, do(leader)
	}
}

// onAny lets n members fail.
func onAny(n int, do, undo func(*etcdtest.Member) error) func(*storm, *rand.Rand) (func() error, error) {
	return func(s *storm, random *rand.Rand) (func() error, error) {
		var chosen []*etcdtest.Member
		var errs []error
		for _, i := range random.Perm(len(s.cluster.Members))[:n] {
			chosen = append(chosen, s.cluster.Members[i])
			errs = append(errs, do(s.cluster.Members[i]))
		}
		return func() (err error) {
			for _, m := range chosen {
				err = errors.Join(err, undo(m))
			}
			return err
		}, errors.Join(errs...)
	}
}

// cutMachine cuts a machine off from n members.
func cutMachine(n int) func(*storm, *rand.Rand) (func() error, error) {
	return func(s *storm, random *rand.Rand) (func() error, error) {
		m := s.machines[random.IntN(len(s.machines))]
		chosen := random.Perm(len(m.proxies))[:n]
		for _, i := range chosen {
			m.proxies[i].Cut()
		}
		return func() error {
			for _, i := range chosen {
				m.proxies[i].Heal()
			}
			return nil
		}, nil
	}
}

// keptRevisions is how many revisions a compaction leaves, for the checkers, which may lag behind.
const keptRevisions = 300

func compact(s *storm, _ *rand.Rand) (func() error, error) {
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	answer, err := s.cluster.Client().Get(ctx, "now")
	if err == nil && answer.Header.Revision > keptRevisions {
		_, err = s.cluster.Client().Compact(ctx, answer.Header.Revision-keptRevisions)
	}
	return nil, err
}

// fillStore raises the alarm that a member raises when its store has become full.
func fillStore(s *storm, _ *rand.Rand) (func() error, error) {
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	_, err := etcdserverpb.NewMaintenanceClient(s.cluster.Client().ActiveConnection()).Alarm(ctx, &etcdserverpb.AlarmRequest{
		Action: etcdserverpb.AlarmRequest_ACTIVATE, Alarm: etcdserverpb.AlarmType_NOSPACE,
	})
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), hangs)
		defer cancel()
		_, err := s.cluster.Client().AlarmDisarm(ctx, &clientv3.AlarmMember{Alarm: etcdserverpb.AlarmType_NOSPACE})
		return err
	}, err
}
