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
	weight := 1
	if !p.ordered && random.IntN(4) == 0 {
		// A heavy command takes one seat all the same: never more seats than slots.
		weight = 1 + random.IntN(2)
		args = append(args, "--weight", strconv.Itoa(weight), "--priority", strconv.Itoa(random.IntN(5)-2))
	}
	path, harm, where := binaries.poolrun, random.IntN(13), random.IntN(12)
	if harm == 0 {
		path = binaries.crashing
	}
	// In a pid namespace, the others could not see a command without a guard.
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
	if s.mayUnshare && where == 0 && harm != 0 { // process 1 cannot kill itself
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
		// As process 1, the Go runtime cannot die of a signal in its first moments.
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
		case 3: // the whole group
			s.kill(-pid)
		case 4:
			syscall.Kill(pid, syscall.SIGTERM)
		case 5:
			if !p.ordered {
				s.stop(pid, time.Duration(random.IntN(100))*time.Millisecond)
			}
		case 7, 8: // the whole group, or the command alone
			if harm == 7 {
				pid = -pid
			} else if pid = childOf(pid); pid == 0 {
				break
			}
			if !p.ordered {
				s.stop(pid, time.Duration(random.IntN(100))*time.Millisecond)
			}
		}
	}
	s.finish(p, cmd, ended)
	if harm == 0 && wasKilled(cmd) {
		s.crashes.Add(1)
	}
}

// signal sends any signal to a poolrun, and lets it go on if that stops it.
func (s *storm) signal(cmd *exec.Cmd, n syscall.Signal, pause time.Duration) {
	s.signalled.Store(cmd, true)
	time.Sleep(pause)
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
	check(cmd.Start())
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
	case 0, 75, 137, 143:
	case 2:
		if !p.mortal && !p.resized && !p.scribbled {
			s.t.Errorf("%q ended with 2: %s", cmd.Args, cmd.Stderr)
		}
	default:
		s.t.Errorf("%q ended with %d: %s", cmd.Args, code, cmd.Stderr)
	}
}

// stop stops a process, or a group, for a while.
func (s *storm) stop(pid int, pause time.Duration) {
	syscall.Kill(pid, syscall.SIGSTOP)
	time.Sleep(pause)
	syscall.Kill(pid, syscall.SIGCONT)
	s.stops.Add(1)
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
