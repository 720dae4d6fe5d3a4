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
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poolrun/poolrun/pool"
)

// The storm: dozens of poolruns arrive, here and in namespaces of their own, with guards
// and without; they wait, time out, get any signal that there is, are stopped, and
// killed: alone, with their commands, or in the middle of a change of the ledger. Whether
// the limit is kept is seen by the commands, which take seats, of which there are as many
// as slots (sit in programs_test.go).
//
//	make storm DURATION=60s SEED=1

// A stormPool is one pool in the storm, and what its weather is like.
type stormPool struct {
	name, dir string
	size      int  // the largest that it ever has
	ordered   bool // nobody is stopped or has a priority: tickets come in order
	foreign   bool // C programs share it
	resized   bool // its size changes
	mortal    bool // it is destroyed and made again
	scribbled bool // somebody writes anything into its ledger: nothing is kept, but nobody crashes
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
	var group sync.WaitGroup
	var longest atomic.Int64
	for i, p := range pools {
		p.name, p.dir = newPool(t, p.size), t.TempDir()
		if p.scribbled {
			vandal := mustStart(t, command(t, "scribble", ledgerOf(p.name)))
			defer end(t, []*exec.Cmd{vandal})
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
		group.Go(func() { s.govern(p, random) })
		if !p.mortal && !p.resized && !p.scribbled {
			group.Go(func() { s.watchStalls(p, &longest) })
		}
	}
	group.Wait()

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

// arrive runs one command in the pool, and perhaps does it harm.
func (s *storm) arrive(p *stormPool, random *rand.Rand) {
	sitting := []string{"sit", p.dir, strconv.Itoa(p.size), fmt.Sprint(time.Duration(5+random.IntN(25)) * time.Millisecond)}
	if p.mortal || p.scribbled {
		sitting = []string{"sh", "-c", "sleep 0.01"} // old and new pool can overlap
	}
	if p.foreign && random.IntN(8) == 0 {
		path, _ := buildC("sem")
		cmd := exec.Command(path, append([]string{"hold", p.name}, sitting...)...)
		s.finish(p, cmd, s.start(cmd))
		return
	}
	args := []string{"-q", "--pool", p.name}
	patience := random.IntN(6)
	if p.scribbled {
		patience = 1 // or it may wait for ever
	}
	switch patience {
	case 0:
		args = append(args, "--nonblock")
	case 1, 2:
		args = append(args, "--timeout", fmt.Sprint(time.Duration(1+random.IntN(100))*time.Millisecond))
	}
	weight := 1
	if !p.ordered && random.IntN(4) == 0 {
		// A heavy one takes one seat all the same: what is seen is at most what is
		// allowed.
		weight = 1 + random.IntN(2)
		args = append(args, "--weight", strconv.Itoa(weight), "--priority", strconv.Itoa(random.IntN(5)-2))
	}
	path, harm, where := binaries.poolrun, random.IntN(13), random.IntN(12)
	if harm == 0 {
		path = binaries.crashing
	}
	// In a pid namespace a command without a guard is out of the others' sight.
	if random.IntN(10) == 0 && where != 0 {
		args = append(args, "--close")
	}
	args = append(append(args, "--"), sitting...)
	if s.mayUnshare && where == 1 {
		args = append([]string{"--time", "--boottime", strconv.Itoa(random.IntN(2000) - 100), path}, args...)
		path = "unshare"
	}
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.mayUnshare && where == 0 && harm != 0 { // as process 1, it cannot kill itself
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
		// The runtime, in its first moments, cannot die of a signal as process 1.
		s.signalled.Store(cmd, harm == 4)
	}
	if harm == 0 {
		cmd.Env = append(os.Environ(), fmt.Sprint("POOLRUN_CRASH_AT=", 1+random.IntN(40)))
	}
	pause := time.Duration(random.IntN(60)) * time.Millisecond
	ended := s.start(cmd)
	pid := cmd.Process.Pid
	if n := syscall.Signal(1 + random.IntN(64)); harm == 6 && !(p.ordered && n >= syscall.SIGSTOP && n <= syscall.SIGTTOU) {
		s.signal(cmd, n, pause)
	}
	select {
	case <-ended:
	case <-time.After(pause):
		switch harm {
		case 1: // the wrapper alone
			s.kill(pid)
		case 2: // the command alone
			if child := childOf(pid); child > 0 {
				s.kill(child)
			}
		case 3: // both, and all that is in their group
			s.kill(-pid)
		case 4:
			syscall.Kill(pid, syscall.SIGTERM)
		case 5:
			if !p.ordered {
				syscall.Kill(pid, syscall.SIGSTOP)
				time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
				syscall.Kill(pid, syscall.SIGCONT)
				s.stops.Add(1)
			}
		case 7, 8: // all that is in its group, or the command alone
			if harm == 7 {
				pid = -pid
			} else if pid = childOf(pid); pid == 0 {
				break
			}
			if !p.ordered {
				syscall.Kill(pid, syscall.SIGSTOP)
				time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
				syscall.Kill(pid, syscall.SIGCONT)
				s.stops.Add(1)
			}
		}
	}
	s.finish(p, cmd, ended)
	if harm == 0 && wasKilled(cmd) {
		s.crashes.Add(1)
	}
}

// signal sends any signal to a poolrun; the deadly ones come to an end by it, whether
// they have a command or not, and those that it stops go on.
func (s *storm) signal(cmd *exec.Cmd, n syscall.Signal, pause time.Duration) {
	s.signalled.Store(cmd, true)
	time.Sleep(pause)
	if n == syscall.SIGKILL {
		s.kill(cmd.Process.Pid)
		return
	}
	unix.Kill(cmd.Process.Pid, n)
	for range 3 { // it may stop a moment after it was told to
		time.Sleep(50 * time.Millisecond)
		unix.Kill(-cmd.Process.Pid, syscall.SIGCONT)
	}
}

func (s *storm) kill(pid int) {
	if syscall.Kill(pid, syscall.SIGKILL) == nil {
		s.kills.Add(1)
	}
}

// start starts a process. The channel is closed when it has ended; it is not
// waited for then, so its pid is its own until finish.
func (s *storm) start(cmd *exec.Cmd) (ended chan struct{}) {
	ended = make(chan struct{})
	cmd.Stderr = &strings.Builder{}
	check(cmd.Start())
	s.runs.Add(1)
	go func() {
		waitWithoutReaping(cmd.Process.Pid)
		close(ended)
	}()
	return ended
}

const hangs = time.Minute

func (s *storm) finish(p *stormPool, cmd *exec.Cmd, ended chan struct{}) {
	select {
	case <-ended:
	case <-time.After(hangs):
		out, _ := exec.Command(binaries.poolrun, "status", p.name).CombinedOutput()
		s.t.Errorf("%q hangs:\n%s", cmd.Args, out)
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	cmd.Wait()
	code := shellCode(cmd)
	n, _ := s.outcomes.LoadOrStore(code, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
	if signalled, _ := s.signalled.LoadAndDelete(cmd); signalled == true {
		return // a Go program as the command says a lot then
	}
	if text := fmt.Sprint(cmd.Stderr); strings.Contains(text, "goroutine ") || strings.Contains(text, "internal error") {
		s.t.Errorf("%q crashed: %s", cmd.Args, text)
	}
	switch code {
	case 0, 75, 137, 143:
	case 2:
		if !p.mortal && !p.resized && !p.scribbled {
			s.t.Errorf("%q ended with 2: %s", cmd.Args, cmd.Stderr)
		}
	default:
		s.t.Errorf("%q ended with %d: %s", cmd.Args, code, cmd.Stderr)
	}
}

// govern does to a pool what its owner may do.
func (s *storm) govern(p *stormPool, random *rand.Rand) {
	run := s.quietly
	for time.Now().Before(s.end) && !s.t.Failed() {
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
		}
		time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
	}
	if p.resized {
		run("resize", p.name, strconv.Itoa(p.size))
	}
}

// watchStalls measures for how long somebody waits though the first in line could
// have what it wants.
func (s *storm) watchStalls(p *stormPool, longest *atomic.Int64) {
	handle, err := pool.Open(p.name)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer handle.Close()
	var since time.Time
	for ; time.Now().Before(s.end); time.Sleep(2 * time.Millisecond) {
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

// wantSound checks a pool after the storm.
func (s *storm) wantSound(p *stormPool) (forward, back uint64) {
	waitStatus(s.t, p.name, "the last command ended", func(st status) bool { return st.InUse == 0 && st.Waiting == 0 })
	wantUsable(s.t, p.name)
	if _, err := os.Stat(filepath.Join(p.dir, "stood")); err == nil {
		s.t.Errorf("%s: there were more than %d at once", p.name, p.size)
	}
	if p.ordered {
		last := 0
		for _, text := range strings.Fields(readFile(s.t, filepath.Join(p.dir, "order"))) {
			ticket := 0
			scan(s.t, text, &ticket)
			if ticket <= last {
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

// quietly runs a poolrun that may fail, but not hang.
func (s *storm) quietly(args ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	exec.CommandContext(ctx, binaries.poolrun, args...).Run()
	if ctx.Err() != nil {
		s.t.Errorf("poolrun %q hangs", args)
	}
}

// childOf returns the pid of the first child, 0 for none.
func childOf(pid int) (child int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err == nil {
		fmt.Sscan(string(text), &child)
	}
	return child
}

// waitWithoutReaping returns when a child has ended: its pid stays its own.
func waitWithoutReaping(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}
