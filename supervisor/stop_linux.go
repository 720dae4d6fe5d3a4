package supervisor

import (
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// When the command has stopped, this process stops too, so that its parent, a shell,
// takes the terminal back and shows the job as stopped. It does so when it sees the
// command stopped, and not when it gets SIGTSTP itself: a command that ignores the
// signal is then not left behind a stopped supervisor.
//
// A stopped process notices nothing. If somebody continued the command alone, or
// killed it, the supervisor would stay, and the slot with it. So a child watches the
// command in the meantime, and continues the supervisor when the command has not
// stopped any more: see watch.

// Stop stops this process as the signal would by default, and returns when it goes on.
// In an orphaned process group the kernel does not stop it, except by SIGSTOP.
func Stop(n syscall.Signal) {
	if !atEntry.ignored.has(n) {
		raiseByDefault(n)
	}
}

// stopLike stops this process as the command was stopped.
func (r *running) stopLike(n syscall.Signal) {
	if n != syscall.SIGSTOP && !stops.has(n) { // a tracer's
		return
	}
	tty := openTerminal()
	if tty >= 0 {
		defer unix.Close(tty)
	}
	group, _ := unix.Getpgid(r.pid)
	hadTerminal := group != unix.Getpgrp() && foreground(tty) == group

	r.watcher = startWatch(r.pid)
	if !atEntry.ignored.has(n) {
		// A SIGCONT that has come since the command has stopped is meant for both. One that
		// comes after this question takes the stop back by itself; only between the two it is
		// lost, for a stop signal discards it (prepare_signal in kernel/signal.c).
		raiseUnless(n, func() bool { return r.passAll(false) || pending().has(syscall.SIGCONT) })
	}
	if r.watcher > 0 {
		unix.Kill(r.watcher, unix.SIGKILL)
		reap(r.watcher)
	}
	// The shell has given the terminal to this process's group. The command, of another
	// group that had it, gets it back (as from sudo's exec_nopty.c).
	if hadTerminal && foreground(tty) == unix.Getpgrp() {
		unix.IoctlSetPointerInt(tty, unix.TIOCSPGRP, group)
	}
	// Then it gets the SIGCONT that ended this stop: before the next stop is looked at,
	// which that SIGCONT is not about.
	r.passAll(false)
}

// openTerminal opens the controlling terminal: -1 where there is none.
func openTerminal() int {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1
	}
	return fd
}

// foreground returns the terminal's foreground process group, or -1.
func foreground(tty int) int {
	group, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP)
	if err != nil {
		return -1
	}
	return group
}

// watched is what watch looks at: /proc/PID/stat of the command.
var watched struct {
	path       [32]byte
	supervisor int
}

// startWatch starts a child that runs watch: 0 where it cannot be, or where /proc is of
// another pid namespace.
func startWatch(command int) (pid int) {
	watched.supervisor = os.Getpid()
	if self, _ := os.Readlink("/proc/self"); self != strconv.Itoa(watched.supervisor) {
		return 0
	}
	clear(watched.path[:])
	copy(watched.path[:], "/proc/"+strconv.Itoa(command)+"/stat")
	every, before := ^set(0), set(0)
	setMask(unix.SIG_SETMASK, &every, &before)
	pid = clone(0, nil, watch, nil)
	setMask(unix.SIG_SETMASK, &before, nil)
	return max(pid, 0)
}

// watch is bare Go, in a copy of this process, without any of its descriptors, and in a
// session of its own, so that it is nobody's job. It continues the supervisor when the
// command, whose pid nobody can reuse before the supervisor has waited for it, is not
// stopped any more. It goes on with that until it is killed: it may have been too early.
func watch(*spawned) {
	sys(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0)
	sys(unix.SYS_SETSID, 0, 0, 0, 0)
	if sys(unix.SYS_CLOSE_RANGE, 0, 1<<32-1, 0, 0) < 0 { // before Linux 5.9
		for fd := range uintptr(1 << 16) {
			sys(unix.SYS_CLOSE, fd, 0, 0, 0)
		}
	}
	for sys(unix.SYS_GETPPID, 0, 0, 0, 0) == watched.supervisor {
		if !isStopped() {
			sys(unix.SYS_KILL, uintptr(watched.supervisor), uintptr(unix.SIGCONT), 0, 0)
		}
		interval := unix.Timespec{Nsec: 200_000_000}
		sys(unix.SYS_NANOSLEEP, pointer(&interval), 0, 0, 0)
	}
	for {
		sys(unix.SYS_EXIT_GROUP, 0, 0, 0, 0)
	}
}

// isStopped is bare Go: it reports whether the command is stopped, or cannot be looked at
// (another user's, with hidepid of proc(5)).
func isStopped() bool {
	fd := sys(unix.SYS_OPENAT, ^uintptr(99), pointer(&watched.path), unix.O_RDONLY, 0) // AT_FDCWD
	if fd < 0 {
		return true
	}
	var stat [512]byte
	n := sys(unix.SYS_READ, uintptr(fd), pointer(&stat), uintptr(len(stat)), 0)
	sys(unix.SYS_CLOSE, uintptr(fd), 0, 0, 0)
	// The state follows the name, which ends with the last parenthesis, proc_pid_stat(5).
	for i := min(n, len(stat)-2) - 1; i >= 0; i-- {
		if stat[i] == ')' {
			state := *(*byte)(unsafe.Add(unsafe.Pointer(&stat), i+2))
			return state == 'T' || state == 't'
		}
	}
	return false
}
