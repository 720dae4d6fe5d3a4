package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What can happen to a poolrun in the storm.
const (
	harmDieInChange = iota // by its own hand, at a random step
	harmKillWrapper
	harmKillCommand
	harmKillGroup
	harmTerminate
	harmStopWrapper
	harmStopCommand
	harmStopGroup
	harmAnySignal
	harms = 13 // the rest do nothing
)

// arrive runs one command in the pool, and perhaps does it harm.
func (s *storm) arrive(p *stormPool, random *rand.Rand) {
	sitting := []string{"sit", p.dir, strconv.Itoa(p.size), fmt.Sprint(time.Duration(5+random.IntN(25)) * time.Millisecond)}
	if p.mortal || p.scribbled {
		sitting = []string{"sh", "-c", "sleep 0.01"} // the old pool and the new one can overlap
	}
	if p.foreign && random.IntN(8) == 0 {
		path, _ := buildC("sem")
		cmd := exec.Command(path, append([]string{"hold", p.name}, sitting...)...)
		s.finish(p, cmd, s.start(cmd))
		return
	}
	harm := random.IntN(harms)
	cmd := s.prepare(p, random, harm, sitting)
	pause := time.Duration(random.IntN(60)) * time.Millisecond
	ended := s.start(cmd)
	select {
	case <-ended:
	case <-time.After(pause):
		s.harm(p, random, harm, cmd)
	}
	s.finish(p, cmd, ended)
	if harm == harmDieInChange && wasKilled(cmd) {
		s.crashes.Add(1)
	}
}

// prepare prepares a run with random flags, here or in a namespace.
func (s *storm) prepare(p *stormPool, random *rand.Rand, harm int, sitting []string) *exec.Cmd {
	args := []string{"-q", "--pool", p.name}
	patience := random.IntN(6)
	if p.scribbled {
		patience = 1 // without a timeout it may wait for ever
	}
	switch patience {
	case 0:
		args = append(args, "--nonblock")
	case 1, 2:
		args = append(args, "--timeout", fmt.Sprint(time.Duration(1+random.IntN(100))*time.Millisecond))
	}
	if !p.ordered && random.IntN(4) == 0 {
		// A heavy command takes one seat all the same: never more seats than slots.
		args = append(args, "--weight", strconv.Itoa(1+random.IntN(2)), "--priority", strconv.Itoa(random.IntN(5)-2))
	}
	switch random.IntN(12) {
	case 0:
		args = append(args, "--max-waiting", strconv.Itoa(random.IntN(5)))
	case 1:
		args = append(args, "--memfree", "1M", "--load", "100000")
	case 2:
		if !p.ordered {
			args = append(args, "--weight", "all")
		}
	}
	path, where := binaries.poolrun, random.IntN(12)
	if harm == harmDieInChange {
		path = binaries.crashing
	}
	// In a pid namespace, the others could not see a command without a guard, and poolrun could not see
	// a tree in the /proc of the namespace outside.
	isBuild := false
	switch what := random.IntN(12); {
	case what == 0 && where != 0:
		args = append(args, "--close")
	case what == 1:
		args = append(args, "--no-fork")
	case what == 2:
		args = append(args, "--max-runtime", "15ms", "--kill-after", "5ms")
	case what == 3 && where != 0:
		args = append(args, "--wait-tree", "--die-with-parent")
	case what <= 5 && where != 0 && !p.ordered:
		isBuild = true
		// Its jobs outlive a build that is killed, so it keeps their slots.
		args = append(args, "--jobserver="+styles[what%2], "--wait-tree")
		sitting = append([]string{"jobclient", "3"}, sitting...)
	}
	if !p.ordered && !isBuild && random.IntN(8) == 0 { // its command would not know its ticket
		path, args = sectionOf(p, path, args[3:], sitting, random.IntN(2) == 0)
	} else {
		args = append(append(args, "--"), sitting...)
	}
	if s.mayUnshare && where == 1 {
		args = append([]string{"--time", "--boottime", strconv.Itoa(random.IntN(2000) - 100), path}, args...)
		path = "unshare"
	}
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.mayUnshare && where == 0 && harm != harmDieInChange { // process 1 cannot kill itself
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
		// As process 1, the Go runtime cannot die of a signal in its first moments.
		s.signalled.Store(cmd, harm == harmTerminate)
	}
	if harm == harmDieInChange {
		cmd.Env = append(os.Environ(), fmt.Sprint("POOLRUN_CRASH_AT=", 1+random.IntN(40)))
	}
	return cmd
}

// sectionOf runs what would be a command with a poolrun of its own in a section of a shell script. flags
// are those of run, some of which acquire does not have.
func sectionOf(p *stormPool, poolrun string, flags, sitting []string, release bool) (path string, args []string) {
	script := `exec 9<"$0"; acquire() { "$POOLRUN" acquire -q --fd 9 "$@"; }; acquire`
	for i := 0; i < len(flags); i++ {
		switch flags[i] {
		case "--close", "--no-fork", "--wait-tree", "--die-with-parent":
		case "--max-runtime", "--kill-after":
			i++
		default:
			script += " " + flags[i]
		}
	}
	script = strings.ReplaceAll(script, "$POOLRUN", poolrun) + ` || exit; "$@"; code=$?`
	if release {
		script += "; " + poolrun + " release --fd 9 || exit"
	}
	return "sh", append([]string{"-c", script + "; exit $code", ledgerOf(p.name)}, sitting...)
}

// harm does harm to a poolrun or its command.
func (s *storm) harm(p *stormPool, random *rand.Rand, harm int, cmd *exec.Cmd) {
	pid := cmd.Process.Pid
	switch harm {
	case harmKillWrapper:
		s.kill(pid)
	case harmKillCommand:
		s.kill(childOf(pid))
	case harmKillGroup:
		s.kill(-pid)
	case harmTerminate:
		syscall.Kill(pid, syscall.SIGTERM)
	case harmStopWrapper:
		s.stop(p, random, pid)
	case harmStopCommand:
		s.stop(p, random, childOf(pid))
	case harmStopGroup:
		s.stop(p, random, -pid)
	case harmAnySignal:
		s.signal(p, syscall.Signal(1+random.IntN(64)), cmd)
	}
}

func (s *storm) kill(pid int) {
	if pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil {
		s.kills.Add(1)
	}
}

// stop stops a process, or a group, for a while.
func (s *storm) stop(p *stormPool, random *rand.Rand, pid int) {
	if pid == 0 || p.ordered {
		return
	}
	syscall.Kill(pid, syscall.SIGSTOP)
	time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
	syscall.Kill(pid, syscall.SIGCONT)
	s.stops.Add(1)
}

// signal sends any signal to a poolrun, and lets it go on if that stops it.
func (s *storm) signal(p *stormPool, n syscall.Signal, cmd *exec.Cmd) {
	if p.ordered && n >= syscall.SIGSTOP && n <= syscall.SIGTTOU {
		return
	}
	s.signalled.Store(cmd, true)
	if n == syscall.SIGKILL {
		s.kill(cmd.Process.Pid)
		return
	}
	unix.Kill(cmd.Process.Pid, n)
	for range 3 { // it may stop a moment after the signal
		time.Sleep(50 * time.Millisecond)
		unix.Kill(-cmd.Process.Pid, syscall.SIGCONT)
	}
}

// start starts a process. The channel is closed when the process has ended. The process stays a
// zombie until finish, so that no other process gets its pid.
func (s *storm) start(cmd *exec.Cmd) (ended chan struct{}) {
	ended = make(chan struct{})
	cmd.Stderr = &strings.Builder{}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	s.runs.Add(1)
	go func() {
		waitWithoutReaping(cmd.Process.Pid)
		close(ended)
	}()
	return ended
}

func (s *storm) finish(p *stormPool, cmd *exec.Cmd, ended chan struct{}) {
	select {
	case <-ended:
	case <-time.After(hangs):
		out, _ := exec.Command(binaries.poolrun, "status", p.name).CombinedOutput()
		s.t.Errorf("%q hangs:\n%s", cmd.Args, out)
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	cmd.Wait()
	code := shellCode(cmd.ProcessState)
	n, _ := s.outcomes.LoadOrStore(code, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
	if signalled, _ := s.signalled.LoadAndDelete(cmd); signalled == true {
		return // a Go program as the command may print a trace then
	}
	if text := fmt.Sprint(cmd.Stderr); strings.Contains(text, "goroutine ") || strings.Contains(text, "internal error") {
		s.t.Errorf("%q crashed: %s", cmd.Args, text)
	}
	switch code {
	case 0, 75, 124, 137, 143:
	case 2:
		if !p.mortal && !p.resized && !p.scribbled {
			s.t.Errorf("%q ended with 2: %s", cmd.Args, cmd.Stderr)
		}
	default:
		s.t.Errorf("%q ended with %d: %s", cmd.Args, code, cmd.Stderr)
	}
}

// waitWithoutReaping returns when a child has ended, and leaves it a zombie.
func waitWithoutReaping(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}
