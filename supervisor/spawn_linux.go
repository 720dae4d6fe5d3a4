package supervisor

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNoProcess is the error where there can be no process for the command, whatever
// the command is: too many processes, or no memory.
var ErrNoProcess = errors.New("cannot start a process")

// A spawned is what a child needs to become the command. It and all that it points to
// are shared with the child until that execs.
type spawned struct {
	path      *byte
	argv      **byte
	envp      **byte
	inherit   []int
	pending   []siginfo // signals that are to be pending
	scheduler schedAttr
	errno     int // execve(2)'s, of a child that has failed
}

// spawn starts the command, with these signals pending, as vfork(2) and execve(2) do: the
// child runs in this process's memory, and this thread goes on when the child has exec'd
// or ended.
//
// A child differs from a process that had exec'd by what fork(2) does not hand on. The
// child puts that right, and what the Go runtime has changed: see become.
func spawn(c Command, pending []siginfo) (pid int, err error) {
	pid, err = spawnOnce(c, pending)
	if errors.Is(err, syscall.ENOEXEC) { // a script without #!, as in execvp(3)
		c.Args = append([]string{shell, c.Path}, c.Args[1:]...)
		c.Path = shell
		pid, err = spawnOnce(c, pending)
	}
	return pid, err
}

const shell = "/bin/sh"

func spawnOnce(c Command, pending []siginfo) (pid int, err error) {
	path, err := syscall.BytePtrFromString(c.Path)
	if err != nil {
		return 0, err
	}
	argv, err := syscall.SlicePtrFromStrings(c.Args)
	if err != nil {
		return 0, err
	}
	envp, err := syscall.SlicePtrFromStrings(c.Env)
	if err != nil {
		return 0, err
	}
	s := &spawned{path: path, argv: &argv[0], envp: &envp[0], inherit: c.Inherit, pending: pending}
	s.scheduler.get()
	// A child's default for the timer slack is the slack of the thread that forks.
	unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(max(atEntry.defaultSlack, 0)), 0, 0, 0)

	// What comes in the meantime finds this process as it is afterwards, and the child
	// as the command. No handler of this process's runs in the child.
	every, before := ^set(0), set(0)
	setMask(unix.SIG_SETMASK, &every, &before)
	flags := uintptr(unix.CLONE_VM | unix.CLONE_VFORK | int(unix.SIGCHLD))
	if c.PID != nil {
		flags |= unix.CLONE_PARENT_SETTID // the kernel stores it before the child runs
	}
	pid = clone(flags, c.PID, become, s)
	setMask(unix.SIG_SETMASK, &before, nil)

	switch {
	case pid < 0:
		return 0, fmt.Errorf("%w: %w", ErrNoProcess, syscall.Errno(-pid))
	case s.errno != 0:
		reap(pid)
		return 0, syscall.Errno(s.errno)
	}
	return pid, nil
}

// clone makes a child that calls child on bare.stack, which must not return. A negative
// result is an errno.
//
//go:noescape
func clone(flags uintptr, pidOut *atomic.Int32, child func(*spawned), argument *spawned) (pid int)

// become is bare Go, in the child: it execs the command in the state that execve(2)
// would have found if this process had become the command itself. tests/inherited_test.go
// has the list.
func become(s *spawned) {
	e := &atEntry
	for _, fd := range s.inherit {
		sys(unix.SYS_FCNTL, uintptr(fd), unix.F_SETFD, 0, 0)
	}
	for fd := range uintptr(3) {
		if e.closed>>fd&1 != 0 {
			sys(unix.SYS_CLOSE, fd, 0, 0, 0)
		}
	}
	if e.deathSignal != 0 {
		sys(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(e.deathSignal), 0, 0)
	}
	if e.subreaper != 0 {
		sys(unix.SYS_PRCTL, unix.PR_SET_CHILD_SUBREAPER, uintptr(e.subreaper), 0, 0)
	}
	if e.slack != e.defaultSlack && e.slack > 0 {
		sys(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(e.slack), 0, 0)
	}
	s.scheduler.set()
	restoreLimits()
	// No caught signal may find its handler, in this memory, when the mask is as it was.
	// Those that would stop the child are the exception: before it execs, that would leave
	// this process in vfork(2), where it notices nothing. The handler notes them in the pipe,
	// from which they are passed on to the command; and execve(2) takes the handler away.
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		var action sigaction
		if e.ignored>>(n-1)&1 != 0 {
			action.handler = sigIgnore
		} else if stops>>(n-1)&1 != 0 {
			continue
		}
		sys(unix.SYS_RT_SIGACTION, uintptr(n), pointer(&action), 0, 8)
	}
	sys(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, pointer(&e.blocked), 0, 8)
	for i := range s.pending {
		info := &s.pending[i]
		sys(unix.SYS_RT_SIGQUEUEINFO, uintptr(sys(unix.SYS_GETPID, 0, 0, 0, 0)), uintptr(info.signal), pointer(info), 0)
	}
	s.errno = -sys(unix.SYS_EXECVE, pointer(s.path), pointer(s.argv), pointer(s.envp), 0)
	for {
		sys(unix.SYS_EXIT_GROUP, 127, 0, 0, 0)
	}
}

// schedAttr is struct sched_attr of sched_setattr(2).
type schedAttr struct {
	size, policy              uint32
	flags                     uint64
	nice                      int32
	priority                  uint32
	runtime, deadline, period uint64
}

// get gets the scheduling policy of this thread, if fork(2) will reset it.
func (a *schedAttr) get() {
	const resetOnFork = 0x40000000 // SCHED_RESET_ON_FORK, sched(7)
	if policy, _, errno := unix.RawSyscall(unix.SYS_SCHED_GETSCHEDULER, 0, 0, 0); errno == 0 && policy&resetOnFork != 0 {
		unix.RawSyscall6(unix.SYS_SCHED_GETATTR, 0, uintptr(unsafe.Pointer(a)), unsafe.Sizeof(*a), 0, 0, 0)
	}
}

// set is bare Go: it gives the child that policy, as far as the child may have it.
func (a *schedAttr) set() {
	if a.size != 0 {
		sys(unix.SYS_SCHED_SETATTR, 0, pointer(a), 0, 0)
	}
}
