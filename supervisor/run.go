package supervisor

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
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
	// returns. It is not called again after it has returned 0, except with another pid: see WaitTree.
	Poll func(pid int) (next time.Duration)

	// Suspend, unless nil, is called when this process is about to stop because the command has stopped.
	// It has to call its argument, at a moment at which this process may be stopped.
	Suspend func(stop func())

	// OnRefused, unless nil, is called when a signal cannot be passed on because this user may not
	// signal the command; once for each signal number.
	OnRefused func(n syscall.Signal, pid int, err error)

	// MaxRuntime, unless 0, is how long the command may run. Then the command, and what it has
	// started as far as that is in its process group, get SIGTERM, and KillAfter later SIGKILL. The
	// time for which the machine is suspended counts. The largest Duration, like any that ends
	// after the clock does, means never. This process becomes a child subreaper.
	MaxRuntime, KillAfter time.Duration

	// Deadline, unless nil, ends the command as MaxRuntime does, at times that it says. Confirm, unless
	// nil, is called before the command gets SIGTERM for that, and may move the deadline.
	Deadline *Deadline
	Confirm  func()

	// WaitTree makes Run return only after every process has ended that the command has started,
	// daemons included. After the command itself has ended, signals are passed on to all that is
	// left, and Poll is called with the pid of one of these processes. MaxRuntime then applies to
	// all of them, whatever their groups.
	WaitTree bool

	// DieWithParent makes the kernel send SIGKILL to the command when this process ends
	// (PR_SET_PDEATHSIG in prctl(2)). It has no effect on a set-user-ID program.
	DieWithParent bool
}

// Run starts the command, passes signals on to it, and blocks until it has ended.
//
// An error means that the command has not run: an [Interrupted] if a deadly signal came first,
// [ErrNoProcess] if no process could be created, [ErrNoTree], or an error of execve(2). Other
// signals stay in the queue, and Run may be called again.
//
// The calling goroutine must be locked to the process's first thread (runtime.LockOSThread in an
// init function), because a child inherits some attributes from the thread that creates it.
//
// When the command stops, this process stops too, so that a shell with job control sees what it
// would see of the command. Run also waits for all other children of this process, as process 1 of
// a container has to.
func (s *Signals) Run(c Command) (Status, error) {
	s.Hold()
	if n := s.takeQueued(); n != 0 {
		return Status{}, Interrupted{n}
	}
	var all tree
	if c.WaitTree || c.MaxRuntime > 0 || c.Deadline != nil {
		var err error
		if all, err = beginTree(); err != nil && c.WaitTree {
			return Status{}, fmt.Errorf("%w: %w", ErrNoTree, err)
		}
	}
	pid, err := start(c, &s.kept)
	if err != nil {
		return Status{}, err
	}
	limit, deadline := newRunLimit(c.MaxRuntime, c.KillAfter), runLimit{}
	run := supervision{queue: &s.queue, pid: pid, limit: limit.next, leavesStops: c.Suspend != nil}
	run.begin()
	polls := poller{poll: c.Poll}
	reported := signalSet(0)
	var status syscall.WaitStatus
	hasEnded := false // the command
	for {
		isOver := false
		if !hasEnded {
			if status, hasEnded = run.step(); hasEnded {
				isOver, run.pid = !c.WaitTree, nobody
			}
		}
		if hasEnded && !isOver {
			isOver = all.step(&run)
		}
		if n := run.stopped; n != 0 {
			run.stopped = 0
			c.Suspend(func() { run.stopLikeCommand(n) })
			continue
		}
		if run.pid != nobody {
			pid = run.pid
		}
		for n := syscall.Signal(1); n <= lastSignal; n++ {
			if c.OnRefused != nil && run.refused.has(n) && !reported.has(n) {
				c.OnRefused(n, pid, unix.EPERM)
			}
		}
		reported = run.refused
		if isOver {
			return Status{status, limit.passed, deadline.passed}, nil
		}
		signal := func(n syscall.Signal) {
			if c.WaitTree {
				all.signalAll(&run, n)
			} else {
				all.signalJob(&run, n)
			}
		}
		limit.enforce(signal)
		run.limit = limit.next
		if c.Deadline.limit(&deadline); deadline.isDue() && !deadline.passed && c.Confirm != nil {
			c.Confirm()
			c.Deadline.limit(&deadline)
		}
		deadline.enforce(signal)
		c.Deadline.limit(&deadline)
		polls.look(run.pid)
		s.queue.wait(deadline.orEarlier(limit.orEarlier(polls.next)))
	}
}

// A poller calls Command.Poll when it is due.
type poller struct {
	poll func(pid int) time.Duration // or nil
	pid  int                         // with which it was called last
	next time.Time                   // the zero time: never
}

func (p *poller) look(pid int) {
	isDue := pid != p.pid || !p.next.IsZero() && time.Until(p.next) <= 0
	if p.poll == nil || !isDue {
		return
	}
	if p.pid, p.next = pid, (time.Time{}); pid == nobody {
		return
	}
	if interval := p.poll(pid); interval != 0 {
		p.next = time.Now().Add(interval)
	}
}

// Become executes the command in this process, as execve(2) does, and gives it what this process has
// inherited. It does not call OnRefused or Poll, and it does not set PID.
//
// It returns only if that fails: with an [Interrupted] if a deadly signal came first, otherwise with
// an error of execve(2), after which signals have their default actions.
func (s *Signals) Become(c Command) error {
	s.Hold()
	if n := s.takeQueued(); n != 0 {
		return Interrupted{n}
	}
	s.RestoreDefaults()
	return c.exec(&s.kept, (*spawned).exec)
}

// A supervision is one run of a command. Its methods are bare Go. Between two steps its user waits
// for a signal: a SIGCHLD or one that has to be passed on.
type supervision struct {
	queue       *queue
	pid         int            // of the command
	refused     signalSet      // this user may not send these to the command
	resumer     int            // pid of the last resumer, whose SIGCONT is for this process
	leavesStops bool           // reap notes a stop, and its caller has to stop this process
	stopped     syscall.Signal // the signal that has stopped the command

	limit int64 // when this process has to run again, even if the command has stopped; 0: never
}

// begin passes on what has arrived while the command was started. A signal that the terminal has
// sent in this moment may not have reached the command. A command that has got it is so young that
// a second one does no harm.
func (s *supervision) begin() { s.forwardAll(true) }

// step does all that there is to do, and reports whether the command has ended. Only step waits for
// the command, and only at its end. So no signal is sent to a pid that has been waited for.
func (s *supervision) step() (status syscall.WaitStatus, ended bool) {
	s.forwardAll(false)
	return s.reap()
}

// reap waits for all children that have ended, without blocking, and reports whether the command is
// one of them. If the command has stopped, it stops this process.
func (s *supervision) reap() (syscall.WaitStatus, bool) {
	for {
		var status int32
		switch got := wait4(-1, &status, unix.WUNTRACED|unix.WNOHANG); {
		case got == -int(unix.EINTR):
		case got < 0: // ECHILD: other code in this process has waited for the command
			return statusUnknown, true
		case got == 0:
			return 0, false
		case got != s.pid: // an orphan, or a child from before this program was exec'd
		case !syscall.WaitStatus(status).Stopped():
			return syscall.WaitStatus(status), true
		case s.leavesStops:
			s.stopped = syscall.WaitStatus(status).StopSignal()
			return 0, false
		default:
			s.stopLikeCommand(syscall.WaitStatus(status).StopSignal())
		}
	}
}

// reapChild blocks until a child that is about to end has ended.
func reapChild(pid int) {
	for wait4(pid, nil, unix.WALL) == -int(unix.EINTR) {
	}
}

func wait4(pid int, status *int32, options uintptr) int {
	return bare.Sys(unix.SYS_WAIT4, uintptr(pid), bare.Pointer(status), options, 0)
}
