package supervisor

import (
	"sync/atomic"
	"syscall"
	"time"
)

// A Command is a program to run. It runs in the caller's process group and inherits the caller's
// descriptors, working directory, and all else that execve(2) hands on.
type Command struct {
	Path string   // the program's file, from [LookPath]
	Args []string // Args[0] is the name under which the program is called
	Env  []string // "NAME=value", as from [Environ]

	// Inherit are close-on-exec descriptors that the command inherits nevertheless.
	Inherit []int

	// PID, unless nil, gets the command's pid before the command runs its first instruction.
	PID *atomic.Int32

	// Poll, unless nil, is called once the command runs, and again after each interval that it
	// returns. It is not called again after it has returned 0.
	Poll func(pid int) (next time.Duration)

	// OnRefused, unless nil, is called when a signal cannot be passed on because this user may not
	// signal the command; once for each signal number.
	OnRefused func(n syscall.Signal, pid int, err error)
}

// Run starts the command, passes signals on to it, and blocks until it has ended.
//
// An error means that the command has not run: an [Interrupted] if a deadly signal came first,
// [ErrNoProcess] if no process could be created, or an error of execve(2). Other signals stay in
// the queue, and Run may be called again.
//
// The calling goroutine must be locked to the process's first thread (runtime.LockOSThread in an
// init function), because a child inherits some attributes from the thread that creates it.
//
// When the command stops, this process stops too, so that a shell with job control sees what it
// would see of the command. Run also waits for all other children of this process, as process 1 of
// a container has to.
func (s *Signals) Run(c Command) (Status, error) {
	s.Hold()
	if err := s.beforeCommand(); err != nil {
		return Status{}, err
	}
	pid, err := spawn(c, s.kept)
	if err != nil {
		return Status{}, err
	}
	run := supervision{queue: &s.queue, pid: pid, onRefused: c.OnRefused}
	// A signal that the terminal has sent in this moment may not have reached the command. A
	// command that has got it is so young that a second one does no harm.
	run.forwardAll(true)
	var nextPoll time.Time // the zero time: never
	if c.Poll != nil {
		nextPoll = time.Now()
	}
	for {
		// Only this loop waits for the command, so its pid cannot be reused before reap.
		run.forwardAll(false)
		if !nextPoll.IsZero() && time.Until(nextPoll) <= 0 {
			nextPoll = time.Time{}
			if next := c.Poll(pid); next != 0 {
				nextPoll = time.Now().Add(next)
			}
		}
		if status, ended := run.reap(); ended {
			return Status{status}, nil
		}
		s.queue.wait(nextPoll)
	}
}

// A supervision is one run of a command.
type supervision struct {
	queue     *queue
	pid       int // of the command
	onRefused func(n syscall.Signal, pid int, err error)
	refused   signalSet // onRefused was called for these
	resumer   int       // pid of the last resumer, whose SIGCONT is for this process
}

// reap waits for all children that have ended, without blocking, and reports whether the command is
// one of them. If the command has stopped, it stops this process.
func (s *supervision) reap() (status syscall.WaitStatus, ended bool) {
	for {
		switch got, err := syscall.Wait4(-1, &status, syscall.WUNTRACED|syscall.WNOHANG, nil); {
		case err == syscall.EINTR:
		case err != nil: // ECHILD: other code in this process has waited for the command
			return statusUnknown, true
		case got == 0:
			return 0, false
		case got != s.pid: // an orphan, or a child from before this program was exec'd
		case !status.Stopped():
			return status, true
		default:
			s.stopLikeCommand(status.StopSignal())
		}
	}
}

// reapChild blocks until a child that is about to end has ended.
func reapChild(pid int) {
	for {
		if _, err := syscall.Wait4(pid, nil, syscall.WALL, nil); err != syscall.EINTR {
			return
		}
	}
}
