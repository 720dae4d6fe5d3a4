package supervisor

import (
	"syscall"

	"github.com/poolrun/poolrun/internal/bare"
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
	tty := openTerminal()
	group := groupOf(s.pid)
	hadTerminal := group != groupOf(0) && foreground(tty) == group

	s.resumer = startResumer(s.pid, s.limit)
	if !atEntry.ignored.has(n) {
		// A SIGCONT that has arrived since the command stopped is meant for both, and cancels the
		// stop. A later SIGCONT continues this process. A SIGCONT between the two is lost, because
		// the stop signal discards it (prepare_signal in kernel/signal.c).
		stop := beginDefault(n)
		if !s.forwardAll(false) && !blockedPending().has(syscall.SIGCONT) {
			stop.raise()
		}
		stop.end()
	}
	if s.resumer > 0 {
		bare.Sys(unix.SYS_KILL, uintptr(s.resumer), uintptr(unix.SIGKILL), 0, 0)
		reapChild(s.resumer)
	}
	// The shell has given the terminal to this process's group. If the command's group is another
	// one and had the terminal, it gets the terminal back, as sudo does in exec_nopty.c.
	if hadTerminal && foreground(tty) == groupOf(0) {
		to := int32(group)
		bare.Sys(unix.SYS_IOCTL, uintptr(tty), unix.TIOCSPGRP, bare.Pointer(&to), 0)
	}
	bare.Sys(unix.SYS_CLOSE, uintptr(tty), 0, 0, 0)
	// The SIGCONT that ended this stop goes to the command before the command's next stop is
	// handled.
	s.forwardAll(false)
}

// openTerminal opens the controlling terminal. Without one the result is negative, and no
// descriptor.
func openTerminal() (tty int) {
	path := [...]byte{'/', 'd', 'e', 'v', '/', 't', 't', 'y', 0}
	return bare.Sys(unix.SYS_OPENAT, bare.AtCWD, bare.Pointer(&path), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
}

// foreground returns the terminal's foreground process group, or -1 if it has none.
func foreground(tty int) int {
	group := int32(0)
	if bare.Sys(unix.SYS_IOCTL, uintptr(tty), unix.TIOCGPGRP, bare.Pointer(&group), 0) < 0 {
		return -1
	}
	return int(group)
}

// resumed is what the resumer needs: the command's /proc/PID/stat, this process's pid, and when this
// process has to continue whatever the command does, 0 for never.
var resumed struct {
	stat       bare.StatPath
	supervisor int
	limit      int64
}

// procIsOwn reports whether /proc shows the pid namespace of this process. It is bare Go.
func procIsOwn() bool {
	self := [...]byte{'/', 'p', 'r', 'o', 'c', '/', 's', 'e', 'l', 'f', 0}
	var number, digits [20]byte
	n := bare.Sys(unix.SYS_READLINKAT, bare.AtCWD, bare.Pointer(&self), bare.Pointer(&number), uintptr(len(number)))
	own := bare.In(digits[:])
	own.AddNumber(uint64(ownPID()), 10)
	return n >= 0 && string(number[:min(n, len(number))]) == own.String()
}

// startResumer starts the resumer and returns its pid. It returns 0 if that fails, or if /proc
// shows another pid namespace.
func startResumer(command int, limit int64) (pid int) {
	resumed.supervisor, resumed.limit = ownPID(), limit
	if !procIsOwn() {
		return 0
	}
	resumed.stat.Of(int32(command))
	every, before := ^signalSet(0), signalSet(0)
	setMask(unix.SIG_SETMASK, &every, &before)
	pid = clone(0, nil, resume, nil, childStack())
	setMask(unix.SIG_SETMASK, &before, nil)
	return max(pid, 0)
}

// resume is bare Go, and runs in the resumer, which has a copy of this process's memory, none of
// its descriptors, and a session of its own, so that no shell counts it as a job. It sends SIGCONT
// to this process as long as the command is not stopped, or has run for too long. It repeats that
// until it is killed, because its first SIGCONT can arrive before this process has stopped. The
// command's pid cannot be reused meanwhile, since this process has not waited for it.
//
//go:norace
func resume(*spawned) {
	bare.Sys(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0)
	bare.Sys(unix.SYS_SETSID, 0, 0, 0, 0)
	if bare.Sys(unix.SYS_CLOSE_RANGE, 0, 1<<32-1, 0, 0) < 0 { // before Linux 5.9
		for fd := range uintptr(1 << 16) {
			bare.Sys(unix.SYS_CLOSE, fd, 0, 0, 0)
		}
	}
	for bare.Sys(unix.SYS_GETPPID, 0, 0, 0, 0) == resumed.supervisor {
		if !isStopped() || resumed.limit != 0 && bare.BootTime() >= resumed.limit {
			bare.Sys(unix.SYS_KILL, uintptr(resumed.supervisor), uintptr(unix.SIGCONT), 0, 0)
		}
		interval := unix.Timespec{Nsec: 200_000_000}
		bare.Sys(unix.SYS_NANOSLEEP, bare.Pointer(&interval), 0, 0, 0)
	}
	for {
		bare.Sys(unix.SYS_EXIT_GROUP, 0, 0, 0, 0)
	}
}

// isStopped is bare Go. It reports whether the command is stopped. A command that is hidden from
// this process (hidepid in proc(5)) counts as stopped.
//
//go:norace
func isStopped() bool {
	command, ok := bare.ReadProcess(&resumed.stat[0])
	return !ok || command.State == 'T' || command.State == 't'
}
