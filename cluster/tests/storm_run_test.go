package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A harm is what can happen to a run in the storm.
type harm struct {
	name   string
	signal syscall.Signal
	to     []victim
}

type victim int

const (
	wrapper victim = iota
	agent
	child // the command
)

var harms = []harm{
	{"kill wrapper", syscall.SIGKILL, []victim{wrapper}},
	{"kill agent", syscall.SIGKILL, []victim{agent}},
	{"kill command", syscall.SIGKILL, []victim{child}},
	{"kill wrapper and command", syscall.SIGKILL, []victim{wrapper, child}},
	{"kill agent and command", syscall.SIGKILL, []victim{agent, child}},
	{"kill wrapper and agent", syscall.SIGKILL, []victim{wrapper, agent}},
	{"stop wrapper", syscall.SIGSTOP, []victim{wrapper}},
	{"stop agent", syscall.SIGSTOP, []victim{agent}},
	{"terminate wrapper", syscall.SIGTERM, []victim{wrapper}},
}

// abandons reports whether nobody may be left who ends the command when its lease runs out.
func (h *harm) abandons(noFork bool) bool {
	return h != nil && slices.Contains(h.to, agent) && (noFork || slices.Contains(h.to, wrapper))
}

// sit DIR SEATS SECONDS takes one of so many seats for that time. A seat is a file with a lock, which the kernel
// frees however the process dies, if perhaps a moment after the guard of the slot: so it is tried for a while. A
// command that finds none leaves a line in the file DIR/stood.
const sit = `cd "$1" || exit
for try in 1 2 3; do
	for seat in $(seq "$2"); do
		exec 9>>"seat$seat"
		flock -n 9 && exec sleep "$3"
	done
	sleep 0.02
done
echo "$(date +%T.%N), fence $POOLRUN_FENCE" >>stood`

// arrive runs one command on a machine, and perhaps does it harm.
func (s *storm) arrive(m *stormMachine, p *stormPool, random *rand.Rand) {
	var h *harm
	if n := random.IntN(2 * len(harms)); n < len(harms) {
		h = &harms[n]
	}
	cmd := poolrun(s.t, s.arguments(m, p, random, h)...)
	stderr, err := os.CreateTemp(p.dir, "stderr")
	if err != nil {
		s.t.Error(err)
		return
	}
	defer os.Remove(stderr.Name())
	defer stderr.Close()
	cmd.Stderr = stderr
	s.runs.Add(1)
	m.start(s, cmd)
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		h = nil
	case <-time.After(time.Duration(random.Int64N(int64(time.Second)))):
		if h != nil {
			s.harm(h, cmd, random)
		}
	}
	select {
	case <-ended:
	case <-time.After(stormHangs):
		s.t.Errorf("%q hangs", cmd.Args)
		cmd.Process.Kill()
		<-ended
	}
	text, err := os.ReadFile(stderr.Name())
	if err != nil {
		s.t.Error(err)
	}
	s.wantOutcome(p, cmd, h, string(text))
}

func (m *stormMachine) start(s *storm, cmd *exec.Cmd) {
	start := func() {
		if err := cmd.Start(); err != nil {
			s.t.Error(err)
		}
	}
	if m.network == nil {
		start()
	} else {
		m.network.Do(start)
	}
}

// arguments returns random flags and the command.
func (s *storm) arguments(m *stormMachine, p *stormPool, random *rand.Rand, h *harm) []string {
	url := m.urlOf(p)
	args := []string{"-q", "--pool", url}
	switch random.IntN(8) {
	case 0:
		args = append(args, "--nonblock")
	case 1, 2:
		args = append(args, "--timeout", fmt.Sprint(time.Duration(1+random.IntN(5000))*time.Millisecond))
	case 3:
		args = append(args, "--max-waiting", strconv.Itoa(random.IntN(3)))
	}
	switch random.IntN(8) {
	case 0:
		args = append(args, "--weight", strconv.Itoa(1+random.IntN(min(p.size, 2)))) // a heavy command takes one seat, too
	case 1:
		args = append(args, "--weight", "all")
	case 2, 3:
		args = append(args, "--priority", strconv.Itoa(random.IntN(5)-2))
	}
	noFork := false
	switch random.IntN(8) {
	case 0:
		args = append(args, "--close")
	case 1:
		args, noFork = append(args, "--no-fork"), true
	case 2:
		args = append(args, "--wait-tree")
	case 3:
		args = append(args, "--max-runtime", "200ms", "--kill-after", "100ms")
	}
	isAbandoned := h.abandons(noFork)
	if !noFork && random.IntN(3) == 0 {
		args, isAbandoned = append(args, "--die-with-parent"), false
	}
	seconds := fmt.Sprintf("%.2f", random.Float64())
	if random.IntN(10) == 0 {
		seconds = fmt.Sprint((longerThanLease + time.Second).Seconds())
	}
	args = append(args, "--")
	if random.IntN(8) == 0 && !h.abandons(noFork) {
		args = append(args, "poolrun", "-q", "--pool", url, "--") // nested
	}
	if p.keeps || isAbandoned {
		return append(args, "sleep", seconds)
	}
	return append(args, "sh", "-c", sit, "sit", p.dir, strconv.Itoa(p.size), seconds)
}

// harm does harm to a run. What is stopped goes on after a while that is shorter or longer than a lease.
func (s *storm) harm(h *harm, cmd *exec.Cmd, random *rand.Rand) {
	name := h.name
	pids := victimsOf(h, cmd)
	for _, pid := range pids {
		syscall.Kill(pid, h.signal)
	}
	if h.signal == syscall.SIGSTOP {
		lasts := shorterThanLease
		if name += " shortly"; random.IntN(2) == 0 {
			lasts, name = longerThanLease, h.name+" for long"
		}
		time.Sleep(lasts)
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	s.counts.add(name)
}

// victimsOf returns the processes to be harmed, as far as there are any.
func victimsOf(h *harm, cmd *exec.Cmd) (pids []int) {
	all := processesOf(cmd)
	for _, v := range h.to {
		if v == wrapper {
			pids = append(pids, cmd.Process.Pid)
			continue
		}
		for _, pid := range all {
			if isAgent := exeOf(pid) == binaries.agent; pid != cmd.Process.Pid && isAgent == (v == agent) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// What poolrun says when it fails because of a fault, or because the pool has become too small.
var (
	expected = regexp.MustCompile(`does not answer|were asked for|the store of etcd is full`)
	lostSlot = regexp.MustCompile(`lost the slot.*, and ended the command`)
)

// wantOutcome checks how a run has ended, of which harm may explain more.
func (s *storm) wantOutcome(p *stormPool, cmd *exec.Cmd, h *harm, stderr string) {
	code := shellCode(cmd.ProcessState)
	s.counts.add(fmt.Sprint("exit code ", code))
	if strings.Contains(stderr, "goroutine ") || strings.Contains(stderr, "internal error") {
		s.t.Errorf("%q crashed: %s", cmd.Args, stderr)
	}
	switch code {
	case 0, 75, 124, 128 + 9, 128 + 15:
	case 2:
		if h == nil && !expected.MatchString(stderr) && (p.keeps || !lostSlot.MatchString(stderr)) {
			s.t.Errorf("%q ended with 2: %s", cmd.Args, stderr)
		}
	default:
		s.t.Errorf("%q ended with %d: %s", cmd.Args, code, stderr)
	}
}

// govern runs a command of the pool's owner, on any machine. It may fail, but must not hang.
func (s *storm) govern(p *stormPool, random *rand.Rand) {
	m := s.machines[random.IntN(len(s.machines))]
	url := m.urlOf(p)
	args := []string{"status", url}
	switch {
	case random.IntN(4) == 0:
		args = []string{"evict", url, "--slot", strconv.Itoa(random.IntN(p.size))}
	case p.resized:
		args = []string{"resize", url, strconv.Itoa(1 + random.IntN(p.size))}
	}
	cmd := poolrun(s.t, args...)
	m.start(s, cmd)
	waitInTime(s.t, cmd)
	s.counts.add(args[0])
	s.sleep(time.Duration(random.Int64N(int64(2 * time.Second))))
}
