package tests

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poolrun/poolrun/pool"
)

// In the storm, dozens of poolruns arrive, here and in namespaces of their own, with guards
// and without. They wait, time out, get any signal, are stopped, and are killed: alone, with
// their commands, or in a change of the ledger. The commands see whether the limit is kept:
// they take seats, and there are as many seats as slots (seats_test.go).
//
//	make storm DURATION=60s SEED=1

// A stormPool is one pool in the storm, and what happens to it.
type stormPool struct {
	name, dir string
	size      int  // the largest that it ever has
	ordered   bool // no waiter is stopped or has a priority, so tickets come in order
	foreign   bool // C programs share it
	resized   bool // its size changes
	mortal    bool // it is destroyed and created again
	scribbled bool // a vandal writes into its ledger: the limit is lost, but no poolrun crashes
}

type storm struct {
	t        *testing.T
	end      time.Time
	runs     atomic.Int64
	kills    atomic.Int64
	crashes  atomic.Int64
	stops    atomic.Int64
	outcomes sync.Map // exit code -> *atomic.Int64

	signalled  sync.Map // *exec.Cmd -> true: it may end with any status
	mayUnshare bool
}

func TestStorm(t *testing.T) {
	duration, err := time.ParseDuration(os.Getenv("STORM_DURATION"))
	if err != nil {
		duration = 5 * time.Second
	}
	seed, err := strconv.ParseUint(os.Getenv("STORM_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat it with: make storm DURATION=%v SEED=%d", duration, seed)
	_, noC := buildC("sem")

	s := &storm{t: t, end: time.Now().Add(duration)}
	s.mayUnshare = exec.Command("unshare", "--time", "--boottime", "1000", "--pid", "--fork", "true").Run() == nil
	pools := []*stormPool{
		{size: 1, ordered: true},
		{size: 3, foreign: noC == nil},
		{size: 6, resized: true},
		{size: 2, mortal: true},
		{size: 8, scribbled: true},
	}
	var group, others sync.WaitGroup
	over := make(chan struct{}) // closed when the last arrival has ended
	var longest atomic.Int64
	for i, p := range pools {
		p.name, p.dir = newPool(t, p.size), t.TempDir()
		if p.scribbled {
			vandal := mustStart(t, command(t, "scribble", ledgerOf(p.name)))
			defer end(vandal)
		}
		for j := range 7 {
			random := rand.New(rand.NewPCG(seed, uint64(100*i+j)))
			group.Go(func() {
				for time.Now().Before(s.end) && !t.Failed() {
					s.arrive(p, random)
				}
			})
		}
		random := rand.New(rand.NewPCG(seed, uint64(100*i+99)))
		others.Go(func() { s.govern(p, random, over) })
		if !p.mortal && !p.resized && !p.scribbled {
			others.Go(func() { s.watchStalls(p, &longest, over) })
		}
	}
	group.Wait()
	close(over)
	others.Wait()

	var forward, back uint64
	for _, p := range pools {
		if !p.scribbled {
			f, b := s.wantSound(p)
			forward, back = forward+f, back+b
		}
	}
	var outcomes []string
	s.outcomes.Range(func(code, n any) bool {
		outcomes = append(outcomes, fmt.Sprintf("%v: %d", code, n.(*atomic.Int64).Load()))
		return true
	})
	fmt.Printf("storm of %v, seed %d: %d runs, %d kills and %d deaths in the middle of a change, %d stops; "+
		"changes rolled forward %d, back %d; longest stall %v; exit codes %s\n",
		duration, seed, s.runs.Load(), s.kills.Load(), s.crashes.Load(), s.stops.Load(),
		forward, back, time.Duration(longest.Load()).Round(time.Millisecond), strings.Join(outcomes, ", "))
}

// govern runs the owner's commands on a pool: resize, destroy, init, status. A status reaps the dead,
// so it comes rarely: waiters have to do that themselves. It does come, because a waiter in a pid
// namespace of its own cannot see the death of every holder.
func (s *storm) govern(p *stormPool, random *rand.Rand, over <-chan struct{}) {
	run := s.quietly
	for {
		pause := time.Duration(random.IntN(200)) * time.Millisecond
		switch {
		case p.resized:
			run("resize", p.name, strconv.Itoa(random.IntN(p.size+1)))
		case p.mortal:
			switch random.IntN(4) {
			case 0:
				run("destroy", p.name, "--force")
			case 1:
				run("destroy", p.name)
			case 2:
				run("destroy", p.name, "--drain", "--timeout", "200ms")
			}
			run("init", p.name, "--size", strconv.Itoa(p.size), "--exist-ok")
		default:
			run("status", p.name)
			pause *= 20
		}
		select {
		case <-time.After(pause):
			continue
		case <-over:
		}
		break
	}
	if p.resized {
		run("resize", p.name, strconv.Itoa(p.size))
	}
}

// watchStalls measures for how long processes wait although enough slots for the first in line
// are free. It only reads, because a Status reaps the dead otherwise.
func (s *storm) watchStalls(p *stormPool, longest *atomic.Int64, over <-chan struct{}) {
	handle, err := pool.OpenReadOnly(p.name)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer handle.Close()
	var since time.Time
	for {
		select {
		case <-over:
			return
		case <-time.After(5 * time.Millisecond):
		}
		st, err := handle.Status()
		if err != nil {
			s.t.Error(err)
			return
		}
		if len(st.Waiters) == 0 || st.Available < st.Waiters[0].Weight || st.InUse+st.Waiters[0].Weight > st.Size {
			since = time.Time{}
			continue
		}
		if since.IsZero() {
			since = time.Now()
		}
		if stall := int64(time.Since(since)); stall > longest.Load() {
			longest.Store(stall)
		}
		if time.Since(since) > 5*time.Second {
			s.t.Errorf("%s: a waiter sleeps while a slot is free: %+v", p.name, st)
			return
		}
	}
}

// wantSound checks a pool after the storm, and returns how many changes were recovered.
func (s *storm) wantSound(p *stormPool) (forward, back uint64) {
	waitStatus(s.t, p.name, "the end of the last command", func(st status) bool { return st.InUse == 0 && st.Waiting == 0 })
	wantUsable(s.t, p.name)
	if _, err := os.Stat(filepath.Join(p.dir, "stood")); err == nil {
		s.t.Errorf("%s: more than %d commands ran at once", p.name, p.size)
	}
	if p.ordered {
		last := 0
		order, err := os.ReadFile(filepath.Join(p.dir, "order"))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, text := range strings.Fields(string(order)) {
			ticket, err := strconv.Atoi(text)
			if err != nil || ticket <= last {
				s.t.Errorf("%s: ticket %d was served after %d", p.name, ticket, last)
			}
			last = ticket
		}
	}
	handle, err := pool.Open(p.name)
	if err != nil {
		s.t.Fatal(err)
	}
	defer handle.Close()
	st, err := handle.Status()
	if err != nil {
		s.t.Fatal(err)
	}
	return st.Counters.RolledForward, st.Counters.RolledBack
}

// quietly runs a poolrun that may fail, but must not hang.
func (s *storm) quietly(args ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	exec.CommandContext(ctx, binaries.poolrun, args...).Run()
	if ctx.Err() != nil {
		s.t.Errorf("poolrun %q hangs", args)
	}
}
