// Package supervisor runs one command in place of the process that calls it:
// passes signals on, waits, and ends the way the command ended, so that whoever
// looks from outside sees what it would have seen of the command alone.
//
// There are two regimes. Until the command exists every failure is final. From
// then on nothing may stop the supervision: what fails is left undone.
//
// Read entry_linux.go (what a process inherits, and how it starts), caught_linux.go
// and signals.go, run.go and spawn_linux.go, pass_linux.go and stop_linux.go; and
// bare_linux.go, for the rules of code that runs without the Go runtime.
package supervisor

import (
	"sync/atomic"
	"syscall"
	"time"
)

// A Command is what is to be run: in the process group of the caller, with its
// descriptors, working directory, and all else that execve(2) hands on.
type Command struct {
	Path    string
	Args    []string // Args[0] is the name that the command sees as its own
	Env     []string
	Inherit []int                                      // descriptors to hand on although they are close-on-exec
	PID     *atomic.Int32                              // the command's pid is stored there before the command exists; may be nil
	Watch   func(pid int) (next time.Duration)         // called when the command runs, and again as long after that as it says, until it says 0; may be nil
	Refused func(n syscall.Signal, pid int, err error) // called, once for each signal, when it could not be passed on; may be nil
}

// Run starts the command, passes signals on to it, and waits until it has ended. An
// error means that there was no command: Interrupted where a signal came before it,
// ErrNoProcess, or whatever execve(2) says.
//
// The calling goroutine has to be wired to its thread, the process's first
// (runtime.LockOSThread in an init function or in main), since a child inherits what
// is a thread's own.
//
// When the command stops, the caller stops too, so that its own parent, a shell, sees
// what it would have seen of the command. All other children that end are waited for:
// as process 1 of a container, this process has to.
func (s *Signals) Run(c Command) (Status, error) {
	s.Keep()
	if err := s.stillWanted(); err != nil {
		return Status{}, err
	}
	pid, err := spawn(c, s.kept)
	if err != nil {
		return Status{}, err
	}
	r := running{pid: pid, refused: c.Refused}
	// A signal that came in this moment may have found no command, so the terminal's too
	// are passed on. A command that did get it, and is so young, does not mind another.
	r.passAll(true)
	watch := time.Now() // when Watch is due
	if c.Watch == nil {
		watch = time.Time{}
	}
	for {
		// Nobody else waits for the command, so its pid is safe to signal until then.
		r.passAll(false)
		if !watch.IsZero() && time.Until(watch) <= 0 {
			watch = after(c.Watch(pid))
		}
		if status, ended := r.wait(); ended {
			return Status{status}, nil
		}
		sleep(watch)
	}
}

// after is the moment that lies so far ahead: the zero time for 0.
func after(d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// stillWanted takes the signals that came before there was a command.
func (s *Signals) stillWanted() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var buffer [4]siginfo
	for signals := caught(&buffer); len(signals) > 0; signals = caught(&buffer) {
		for _, i := range signals {
			switch n := syscall.Signal(i.signal); effectOf(i) {
			case kept:
				s.kept = append(s.kept, i)
			case stop:
				Stop(n)
			case death:
				return Interrupted{n}
			}
		}
	}
	return nil
}

// A running is a command that runs.
type running struct {
	pid     int
	refused func(n syscall.Signal, pid int, err error)
	told    set // signals of which refused was told
	watcher int // pid of the last child that watched the command: its SIGCONT is for this process
}

// wait waits for all children that have ended or stopped, without blocking.
func (r *running) wait() (status syscall.WaitStatus, ended bool) {
	for {
		switch got, err := syscall.Wait4(-1, &status, syscall.WUNTRACED|syscall.WNOHANG, nil); {
		case err == syscall.EINTR:
		case err != nil: // ECHILD: somebody else has waited for the command
			return lost, true
		case got == 0:
			return 0, false
		case got != r.pid: // an orphan, or one that was a child before this program was exec'd
		case !status.Stopped():
			return status, true
		default:
			r.stopLike(status.StopSignal())
		}
	}
}

// The status of a command of which no status can be had: exit code 2.
const lost syscall.WaitStatus = 2 << 8

// reap waits for a child that is about to end.
func reap(pid int) {
	for {
		if _, err := syscall.Wait4(pid, nil, syscall.WALL, nil); err != syscall.EINTR {
			return
		}
	}
}
