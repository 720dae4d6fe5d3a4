package supervisor

import (
	"cmp"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// ErrNoProcess means that no process could be created for a command, because there are too many
// processes or too little memory (fork(2)). The command is not the reason.
var ErrNoProcess = errors.New("cannot start a process")

// start starts the command with these signals pending.
func start(c Command, pending *siginfos) (pid int, err error) {
	err = c.exec(pending, func(s *spawned) {
		pid = spawn(s, c.PID)
	})
	if pid < 0 {
		return 0, fmt.Errorf("%w: %w", ErrNoProcess, bare.Errno(pid))
	}
	return pid, err
}

// exec calls a function that execs the command, in this process or in a child. A file that
// execve(2) does not know is a script without #!, which execvp(3) runs with the shell.
func (c Command) exec(pending *siginfos, try func(*spawned)) error {
	// The runtime's slack is another one: see enter and spawn.
	unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(max(atEntry.defaultSlack, 0)), 0, 0, 0)
	err := c.execOnce(pending, try)
	if errors.Is(err, syscall.ENOEXEC) {
		c.Args = append([]string{shell, c.Path}, c.Args[1:]...)
		c.Path = shell
		err = c.execOnce(pending, try)
	}
	return err
}

const shell = "/bin/sh"

func (c Command) execOnce(pending *siginfos, try func(*spawned)) error {
	s, err := c.prepare()
	if err != nil {
		return err
	}
	s.inherit, s.pending, s.handled = c.Inherit, pending, ^signalSet(0)
	if c.DieWithParent {
		s.parent = ownPID()
	}
	try(s)
	return bare.Error(s.errno)
}

// prepare returns the arguments of execve(2).
func (c Command) prepare() (*spawned, error) {
	path, err1 := syscall.BytePtrFromString(c.Path)
	argv, err2 := syscall.SlicePtrFromStrings(c.Args)
	envp, err3 := syscall.SlicePtrFromStrings(c.Env)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return nil, err
	}
	return &spawned{path: path, argv: &argv[0], envp: &envp[0]}, nil
}

// A spawned holds what a process needs to become the command. A child shares it, and all that it
// points to, until it execs.
type spawned struct {
	path      *byte // a C string
	argv      **byte
	envp      **byte
	inherit   []int
	pending   *siginfos // signals that will be pending in the command
	handled   signalSet // signals that this process handles
	scheduler schedAttr
	parent    int           // unless 0, the process whose end has to kill the command
	null      int           // of a Companion: /dev/null
	moved     [maxFiles]int // of a Companion: where inherit has gone in between
	errno     syscall.Errno // of execve(2)
}

// maxFiles is how many descriptors a Companion can inherit.
const maxFiles = 4

// spawn is bare Go. It starts a command as vfork(2) and execve(2) would: the child runs in this
// process's memory, and this thread goes on when the child has exec'd or ended. It returns the
// command's pid, which the kernel also stores in place, unless nil, before the child runs. If the
// result is negative, it is the errno of clone(2), and if s.errno is set, there is no command.
//
// Some attributes that execve(2) hands on are changed by fork(2) or by the Go runtime. The child
// restores them: see become. One it cannot restore: its default timer slack is the slack of the
// thread that creates it, which therefore has to be the default.
func spawn(s *spawned, place *atomic.Int32) (pid int) {
	s.scheduler.get()
	// A signal that arrives in the meantime waits, for this process until the child has exec'd, for
	// the child until its handlers are removed. So no handler runs in the child.
	every, before := ^signalSet(0), signalSet(0)
	setMask(unix.SIG_SETMASK, &every, &before)
	flags := uintptr(unix.CLONE_VM | unix.CLONE_VFORK | int(unix.SIGCHLD))
	if place != nil {
		flags |= unix.CLONE_PARENT_SETTID
	}
	pid = clone(flags, place, become, s, childStack())
	setMask(unix.SIG_SETMASK, &before, nil)
	if pid > 0 && s.errno != 0 {
		reapChild(pid)
	}
	return pid
}

// clone creates a child that calls the function child on a stack, of which it gets the upper end.
// That function must not return. A negative result is an errno.
//
//go:noescape
func clone(flags uintptr, pidOut *atomic.Int32, child func(*spawned), argument *spawned, stack uintptr) (pid int)

// become is bare Go, and runs in the child, which becomes the command or ends.
//
//go:norace
func become(s *spawned) {
	s.exec()
	for {
		bare.Sys(unix.SYS_EXIT_GROUP, 127, 0, 0, 0)
	}
}

// exec is bare Go. It restores the attributes that this process has inherited, and execs the
// command. If that fails, it returns with s.errno set. tests/inherited_test.go lists the attributes.
//
//go:norace
func (s *spawned) exec() {
	e := &atEntry
	for _, fd := range s.inherit {
		bare.Sys(unix.SYS_FCNTL, uintptr(fd), unix.F_SETFD, 0, 0)
	}
	for fd := range uintptr(3) {
		if e.closed>>fd&1 != 0 {
			bare.Sys(unix.SYS_CLOSE, fd, 0, 0, 0)
		}
	}
	if s.parent != 0 {
		bare.Sys(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0)
		if bare.Sys(unix.SYS_GETPPID, 0, 0, 0, 0) != s.parent { // it has ended already
			bare.Sys(unix.SYS_KILL, uintptr(bare.Sys(unix.SYS_GETPID, 0, 0, 0, 0)), uintptr(unix.SIGKILL), 0, 0)
		}
	} else if e.deathSignal != 0 {
		bare.Sys(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(e.deathSignal), 0, 0)
	}
	if e.subreaper != 0 {
		bare.Sys(unix.SYS_PRCTL, unix.PR_SET_CHILD_SUBREAPER, uintptr(e.subreaper), 0, 0)
	}
	if e.slack != e.defaultSlack && e.slack > 0 {
		bare.Sys(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(e.slack), 0, 0)
	}
	s.scheduler.set()
	restoreLimits()
	// The handlers have to go before signals are unblocked, because the child must not run them in
	// this memory. The signals that stop a process are the exception: if one of them stopped the
	// child before it execs, this process would hang in vfork(2). The handler puts them into the
	// queue instead, from which they are passed on to the command, and execve(2) removes it.
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		var action sigaction
		if s.handled>>(n-1)&1 == 0 {
			continue
		} else if e.ignored>>(n-1)&1 != 0 {
			action.handler = sigIgnore
		} else if stopSignals>>(n-1)&1 != 0 {
			continue
		}
		bare.Sys(unix.SYS_RT_SIGACTION, uintptr(n), bare.Pointer(&action), 0, 8)
	}
	bare.Sys(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, bare.Pointer(&e.blocked), 0, 8)
	for i := range min(s.pending.count, len(s.pending.list)) {
		info := &s.pending.list[i]
		bare.Sys(unix.SYS_RT_SIGQUEUEINFO, uintptr(bare.Sys(unix.SYS_GETPID, 0, 0, 0, 0)), uintptr(info.signal), bare.Pointer(info), 0)
	}
	s.errno = bare.Errno(bare.Sys(unix.SYS_EXECVE, bare.Pointer(s.path), bare.Pointer(s.argv), bare.Pointer(s.envp), 0))
}

// schedAttr is struct sched_attr of sched_setattr(2).
type schedAttr struct {
	size, policy              uint32
	flags                     uint64
	nice                      int32
	priority                  uint32
	runtime, deadline, period uint64
}

// get notes the scheduling policy of this thread if fork(2) will reset it.
func (a *schedAttr) get() {
	const resetOnFork = 0x40000000 // SCHED_RESET_ON_FORK, sched(7)
	if policy := bare.Sys(unix.SYS_SCHED_GETSCHEDULER, 0, 0, 0, 0); policy > 0 && policy&resetOnFork != 0 {
		bare.Sys(unix.SYS_SCHED_GETATTR, 0, uintptr(unsafe.Pointer(a)), unsafe.Sizeof(*a), 0)
	}
}

// set is bare Go. It restores the policy in the child, as far as the child is permitted to.
//
//go:norace
func (a *schedAttr) set() {
	if a.size != 0 {
		bare.Sys(unix.SYS_SCHED_SETATTR, 0, bare.Pointer(a), 0, 0)
	}
}
