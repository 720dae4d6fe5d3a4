package supervisor

import (
	"fmt"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// A Companion is a program that is to run beside this process, and may outlive it. It is in a session of
// its own, so that no terminal signals it. Its standard descriptors are /dev/null, and its working directory
// is /. No signal is blocked or ignored in it.
//
// It is a child of this process that does not count as one of the command's: Run neither waits for it nor
// signals it.
type Companion struct {
	Path  string
	Args  []string // Args[0] is the name under which the program is called
	Env   []string
	Files []int // become the descriptors 3, 4 and so on. No other descriptor of this process is inherited

	// Adopted makes the program a child of init, or of a child subreaper among the ancestors. A command that
	// replaces this process (Become) would not know such a child.
	Adopted bool
}

// Start starts the program. An error means that it does not run: [ErrNoProcess], or an error of
// execve(2).
func (c Companion) Start() error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	s, err := Command{Path: c.Path, Args: c.Args, Env: c.Env}.prepare()
	if err != nil {
		return err
	}
	s.inherit, s.null = c.Files, null
	flags, child := uintptr(unix.CLONE_VM|unix.CLONE_VFORK), leaveCompanion
	if !c.Adopted {
		flags, child = flags|uintptr(unix.SIGCHLD), becomeCompanion
	}
	companions.Lock()
	defer companions.Unlock()
	every, before := ^signalSet(0), signalSet(0)
	setMask(unix.SIG_SETMASK, &every, &before)
	pid := clone(flags, nil, child, s, companionStack(1))
	setMask(unix.SIG_SETMASK, &before, nil)
	switch {
	case pid < 0:
		return fmt.Errorf("%w: %w", ErrNoProcess, bare.Errno(pid))
	case c.Adopted || s.errno != 0:
		reapChild(pid)
	default:
		r, _ := readRelative(pid)
		r.pid = pid
		companions.list = append(companions.list, r)
	}
	return bare.Error(s.errno)
}

// companionStacks are stacks for the two children. They are not those of childStack, because the command may
// be started at the same time, by another thread.
var companionStacks [2][32 << 10]byte

func companionStack(i int) uintptr {
	stack := &companionStacks[i]
	return (uintptr(unsafe.Pointer(stack)) + unsafe.Sizeof(*stack) - spill) &^ 15
}

// companions are those of this process that are its children.
var companions struct {
	sync.Mutex
	list []relative
}

// AwaitCompanions waits until all companions have ended, or for a while. A companion that was not waited for
// remains a zombie if init does not expect it, as in some containers.
func AwaitCompanions(limit time.Duration) {
	companions.Lock()
	defer companions.Unlock()
	end := time.Now().Add(limit)
	for _, r := range companions.list {
		fd, err := unix.PidfdOpen(r.pid, 0)
		if err == nil {
			unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, max(int(time.Until(end).Milliseconds()), 0))
			unix.Close(fd)
		}
		wait4(r.pid, nil, unix.WNOHANG)
	}
}

// isCompanion reports whether a process is a companion of this one.
func isCompanion(r relative) bool {
	companions.Lock()
	defer companions.Unlock()
	return r.isIn(companions.list)
}

func hasCompanions() bool {
	companions.Lock()
	defer companions.Unlock()
	return len(companions.list) > 0
}

// leaveCompanion is bare Go, and runs in a child that has no exit signal. It leaves the program to another
// parent.
//
//go:norace
func leaveCompanion(s *spawned) {
	if pid := clone(unix.CLONE_VM|unix.CLONE_VFORK|uintptr(unix.SIGCHLD), nil, becomeCompanion, s, companionStack(0)); pid < 0 {
		s.errno = bare.Errno(pid)
	}
	for {
		bare.Sys(unix.SYS_EXIT_GROUP, 0, 0, 0, 0)
	}
}

// becomeCompanion is bare Go, and runs in the child, which becomes the program or ends.
//
//go:norace
func becomeCompanion(s *spawned) {
	bare.Sys(unix.SYS_SETSID, 0, 0, 0, 0)
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		var action sigaction
		bare.Sys(unix.SYS_RT_SIGACTION, uintptr(n), bare.Pointer(&action), 0, 8)
	}
	none := signalSet(0)
	bare.Sys(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, bare.Pointer(&none), 0, 8)
	const first = 3
	behind := uintptr(first + len(s.inherit))
	for i := range s.inherit { // out of the way of each other
		s.moved[i] = bare.Sys(unix.SYS_FCNTL, uintptr(s.inherit[i]), unix.F_DUPFD, behind, 0)
	}
	for fd := range uintptr(first) {
		bare.Sys(unix.SYS_DUP3, uintptr(s.null), fd, 0, 0)
	}
	for i := range s.inherit {
		bare.Sys(unix.SYS_DUP3, uintptr(s.moved[i]), uintptr(first+i), 0, 0)
	}
	if bare.Sys(unix.SYS_CLOSE_RANGE, behind, ^uintptr(0)>>32, 0, 0) < 0 { // before Linux 5.9
		for fd := behind; fd < 1<<16; fd++ {
			bare.Sys(unix.SYS_CLOSE, fd, 0, 0, 0)
		}
	}
	root := [...]byte{'/', 0}
	bare.Sys(unix.SYS_CHDIR, bare.Pointer(&root), 0, 0, 0)
	s.errno = bare.Errno(bare.Sys(unix.SYS_EXECVE, bare.Pointer(s.path), bare.Pointer(s.argv), bare.Pointer(s.envp), 0))
	for {
		bare.Sys(unix.SYS_EXIT_GROUP, 127, 0, 0, 0)
	}
}
