package supervisor

import (
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// When the command stops, this process stops too. Its parent, a shell, then takes the terminal back
// and shows the job as stopped. This process does not stop when it gets SIGTSTP itself, because a
// command that ignores the signal would be left behind a stopped supervisor.
//
// A stopped process notices nothing. If another process continued or killed the command alone, this
// process would stay stopped, and the resources that it holds for the command would stay in use. So
// it leaves a child, the resumer, which continues it in that case.

// stopLikeCommand stops this process by the signal that has stopped the command, and returns when
// this process continues.
func (s *supervision) stopLikeCommand(n syscall.Signal) {
	if n != syscall.SIGSTOP && !stopSignals.has(n) { // a tracer's stop
		return
	}
	// Without a controlling terminal tty is -1.
	tty, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err == nil {
		defer unix.Close(tty)
	}
	group, _ := unix.Getpgid(s.pid)
	hadTerminal := group != unix.Getpgrp() && foreground(tty) == group

	s.resumer = startResumer(s.pid)
	if !atEntry.ignored.has(n) {
		// A SIGCONT that has arrived since the command stopped is meant for both, and cancels the
		// stop. A later SIGCONT continues this process. A SIGCONT between the two is lost, because
		// the stop signal discards it (prepare_signal in kernel/signal.c).
		raiseUnless(n, func() bool { return s.forwardAll(false) || blockedPending().has(syscall.SIGCONT) })
	}
	if s.resumer > 0 {
		unix.Kill(s.resumer, unix.SIGKILL)
		reapChild(s.resumer)
	}
	// The shell has given the terminal to this process's group. If the command's group is another
	// one and had the terminal, it gets the terminal back, as sudo does in exec_nopty.c.
	if hadTerminal && foreground(tty) == unix.Getpgrp() {
		unix.IoctlSetPointerInt(tty, unix.TIOCSPGRP, group)
	}
	// The SIGCONT that ended this stop goes to the command before the command's next stop is
	// handled.
	s.forwardAll(false)
}

// foreground returns the terminal's foreground process group, or -1 if it has none.
func foreground(tty int) int {
	group, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP)
	if err != nil {
		return -1
	}
	return group
}

// resumed is what the resumer needs: the command's /proc/PID/stat, and this process's pid.
var resumed struct {
	stat       [32]byte
	supervisor int
}

// startResumer starts the resumer and returns its pid. It returns 0 if that fails, or if /proc
// shows another pid namespace.
func startResumer(command int) (pid int) {
	resumed.supervisor = os.Getpid()
	if self, _ := os.Readlink("/proc/self"); self != strconv.Itoa(resumed.supervisor) {
		return 0
	}
	clear(resumed.stat[:])
	copy(resumed.stat[:], "/proc/"+strconv.Itoa(command)+"/stat")
	every, before := ^signalSet(0), signalSet(0)
	setMask(unix.SIG_SETMASK, &every, &before)
	pid = clone(0, nil, resume, nil)
	setMask(unix.SIG_SETMASK, &before, nil)
	return max(pid, 0)
}

// resume is bare Go, and runs in the resumer, which has a copy of this process's memory, none of
// its descriptors, and a session of its own, so that no shell counts it as a job. It sends SIGCONT
// to this process as long as the command is not stopped. It repeats that until it is killed,
// because its first SIGCONT can arrive before this process has stopped. The command's pid cannot be
// reused meanwhile, since this process has not waited for it.
//
//go:norace
func resume(*spawned) {
	sys(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0)
	sys(unix.SYS_SETSID, 0, 0, 0, 0)
	if sys(unix.SYS_CLOSE_RANGE, 0, 1<<32-1, 0, 0) < 0 { // before Linux 5.9
		for fd := range uintptr(1 << 16) {
			sys(unix.SYS_CLOSE, fd, 0, 0, 0)
		}
	}
	for sys(unix.SYS_GETPPID, 0, 0, 0, 0) == resumed.supervisor {
		if !isStopped() {
			sys(unix.SYS_KILL, uintptr(resumed.supervisor), uintptr(unix.SIGCONT), 0, 0)
		}
		interval := unix.Timespec{Nsec: 200_000_000}
		sys(unix.SYS_NANOSLEEP, pointer(&interval), 0, 0, 0)
	}
	for {
		sys(unix.SYS_EXIT_GROUP, 0, 0, 0, 0)
	}
}

// isStopped is bare Go. It reports whether the command is stopped. A command that is hidden from
// this process (hidepid in proc(5)) counts as stopped.
//
//go:norace
func isStopped() bool {
	fd := sys(unix.SYS_OPENAT, ^uintptr(99), pointer(&resumed.stat), unix.O_RDONLY, 0) // AT_FDCWD
	if fd < 0 {
		return true
	}
	var stat [512]byte
	n := sys(unix.SYS_READ, uintptr(fd), pointer(&stat), uintptr(len(stat)), 0)
	sys(unix.SYS_CLOSE, uintptr(fd), 0, 0, 0)
	// The state follows the name, which ends at the last parenthesis (proc_pid_stat(5)).
	for i := min(n, len(stat)-2) - 1; i >= 0; i-- {
		if stat[i] == ')' {
			state := *(*byte)(unsafe.Add(unsafe.Pointer(&stat), i+2))
			return state == 'T' || state == 't'
		}
	}
	return false
}
