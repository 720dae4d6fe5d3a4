package pools

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
	"github.com/poolrun/poolrun/cluster/internal/keys"
	"github.com/poolrun/poolrun/cluster/internal/replay"
	"github.com/poolrun/poolrun/cluster/internal/store"
	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/pool"
)

// A scene shows what a guard is for: something happens in a pool between the look of a participant and its
// take. With the guard, the take is not made. Without it, the take breaks a rule.
type scene struct {
	guard  string
	config engine.Config
	play   func(s *stage) (late *actor) // who has had its look, and is to take
	rule   string                       // of package replay, "" if it has none for that
}

var scenes = []scene{
	{"pool", engine.Config{Size: 2}, func(s *stage) *actor {
		s.holder(engine.Wish{Weight: 1})
		late := s.newcomer(engine.Wish{Weight: 1})
		s.must(s.pool.Resize(s.ctx, 1))
		return late
	}, "it has slot 1 of 1"},

	{"line", engine.Config{Size: 2}, func(s *stage) *actor {
		s.holder(engine.Wish{Weight: 1})
		late := s.newcomer(engine.Wish{Weight: 1})
		s.waiter(engine.Wish{Weight: 2, Priority: -1})
		return late
	}, "1 slots held, 2 kept for those before it, and 1 taken are more than 2"},

	{"slot", engine.Config{Size: 1}, func(s *stage) *actor {
		late := s.newcomer(engine.Wish{Weight: 1})
		s.holder(engine.Wish{Weight: 1})
		return late
	}, "slot 0, held by"},

	{"place", engine.Config{Size: 1}, func(s *stage) *actor {
		holder := s.holder(engine.Wish{Weight: 1})
		late := s.waiter(engine.Wish{Weight: 1})
		holder.end()
		late.look()
		s.must(late.waiter.Revoke(s.ctx))
		return late
	}, "it jumps and does not put c"},

	{"jump", engine.Config{Size: 2}, func(s *stage) *actor {
		holder := s.holder(engine.Wish{Weight: 2})
		s.waiter(engine.Wish{Weight: 1})
		late := s.waiter(engine.Wish{Weight: 1})
		holder.end()
		late.look()
		s.holder(engine.Wish{Weight: 1, Priority: -1})
		return late
	}, "1 slots held, 1 kept for those before it, and 1 taken are more than 2"},

	{"drain", engine.Config{Size: 2}, func(s *stage) *actor {
		s.holder(engine.Wish{Weight: 1})
		late := s.newcomer(engine.Wish{Weight: 1})
		s.must(s.pool.beginDrain(s.ctx, late.holder.ID))
		return late
	}, "it jumps while the pool drains"},

	// Of the two starts, the second comes long before the delay is over.
	{"delay", engine.Config{Size: 1, Delay: time.Hour}, func(s *stage) *actor {
		late := s.newcomer(engine.Wish{Weight: 1})
		s.holder(engine.Wish{Weight: 1}).end()
		return late
	}, ""},
}

// TestEachGuardIsNeeded plays the scenes with all guards, and without the one that they are about.
func TestEachGuardIsNeeded(t *testing.T) {
	cluster := etcdtest.New(t, etcdtest.Config{})
	for _, scene := range scenes {
		t.Run(scene.guard, func(t *testing.T) {
			s := newStage(t, cluster, scene.config)
			slots := scene.play(s).take()
			if _, err := s.checker.Stop(); err != nil || slots != nil {
				t.Errorf("with the guard, slots %v are taken: %v", slots, err)
			}
		})
		t.Run("without "+scene.guard, func(t *testing.T) {
			s := newStage(t, cluster, scene.config)
			late := scene.play(s)
			withoutGuard = scene.guard
			defer func() { withoutGuard = "" }()
			if late.take() == nil {
				t.Error("no slots are taken")
			}
			_, err := s.checker.Stop()
			if violation, ok := errors.AsType[*replay.Violation](err); ok != (scene.rule != "") || ok && !strings.Contains(violation.Rule, scene.rule) {
				t.Errorf("the checker says %v, want: %s", err, scene.rule)
			}
		})
	}
}

// TestEachGuardHasAScene looks at a take that has all guards.
func TestEachGuardHasAScene(t *testing.T) {
	p := &participant{Pool: &Pool{space: keys.Of("/x")}}
	v := &view{record: keys.Pool{Delay: 1}, before: []keys.Place{{}}}
	for _, g := range p.guards(v, []int{0}) {
		if !slices.ContainsFunc(scenes, func(s scene) bool { return s.guard == g.name }) {
			t.Errorf("guard %q has none", g.name)
		}
	}
}

// A stage is a pool whose participants, the actors, take one step at a time.
type stage struct {
	t       *testing.T
	ctx     context.Context
	pool    *Pool
	checker *replay.Checker
}

// newStage makes a pool. At the end of the test, nothing is left of it.
func newStage(t *testing.T, cluster *etcdtest.Cluster, config engine.Config) *stage {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	s := &stage{t: t, ctx: ctx, pool: openPool(t, cluster.Endpoints()...)}
	var err error
	s.checker, err = replay.Follow(ctx, cluster.Client(), s.pool.url.Name)
	s.must(err, s.pool.Create(ctx, config))
	t.Cleanup(func() {
		if err := s.pool.ForceDestroy(ctx); !errors.Is(err, pool.ErrNotExist) {
			s.must(err)
		}
	})
	return s
}

// openPool opens a pool that has the name of the test.
func openPool(t *testing.T, endpoints ...string) *Pool {
	t.Helper()
	s, err := store.Open(store.Config{Endpoints: endpoints})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return Open(s, engine.URL{Scheme: "etcd", Name: "/" + strings.ReplaceAll(t.Name(), "/", "-")}, Local{Host: "here", User: "root"})
}

func (s *stage) must(errs ...error) {
	s.t.Helper()
	if err := errors.Join(errs...); err != nil {
		s.t.Fatal(err)
	}
}

// An actor is a participant and what it has seen last.
type actor struct {
	*participant
	stage *stage
	seen  *view
}

// newcomer has had its first look.
func (s *stage) newcomer(wish engine.Wish) *actor {
	s.t.Helper()
	r := Request{Wish: wish, IsStopped: func() bool { return false }, Note: func(engine.Event) {}}
	p := &participant{Pool: s.pool, place: keys.Place{Priority: wish.Priority, Weight: wish.Weight}, isStopped: r.IsStopped, tell: r.Note}
	seen, err := p.arrive(s.ctx, r)
	s.must(err)
	a := &actor{p, s, seen}
	s.t.Cleanup(a.end)
	return a
}

// waiter stands in line.
func (s *stage) waiter(wish engine.Wish) *actor {
	s.t.Helper()
	a := s.newcomer(wish)
	var err error
	a.seen, err = a.ensurePlace(s.ctx, a.seen)
	s.must(err)
	return a
}

// holder has got its slots as a newcomer.
func (s *stage) holder(wish engine.Wish) *actor {
	s.t.Helper()
	a := s.newcomer(wish)
	if a.take() == nil {
		s.t.Fatal("no slots are taken")
	}
	return a
}

func (a *actor) look() {
	a.stage.t.Helper()
	var err error
	a.seen, err = a.lookAgain(a.stage.ctx, a.seen)
	a.stage.must(err)
}

// take takes slots, if what was seen allows that.
func (a *actor) take() (slots []int) {
	a.stage.t.Helper()
	slots, _, seen, err := a.tryTake(a.stage.ctx, a.seen)
	if a.seen = seen; !errors.Is(err, pool.ErrDraining) {
		a.stage.must(err)
	}
	return slots
}

// end gives back all that the actor has.
func (a *actor) end() { a.cleanUp(false) }
