package supervisor

import (
	"syscall"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// The functions of this file are bare Go.

// forwardAll takes all signals out of the queue and passes them on. It reports whether a SIGCONT
// was among them. justStarted says that the command may have been too young to get a signal by
// itself.
func (s *supervision) forwardAll(justStarted bool) (continues bool) {
	var i siginfo
	for s.queue.take(&i) {
		s.forward(&i, justStarted)
		continues = continues || i.number() == syscall.SIGCONT
	}
	return continues
}

// forward passes a caught signal on. A process that this user may not signal (a set-user-ID
// program) refuses it with EPERM.
func (s *supervision) forward(i *siginfo, justStarted bool) {
	to := s.addressee(i, justStarted)
	if to == 0 {
		return
	}
	if i.send(to) == unix.EPERM {
		s.refused |= setOf(i.number())
	}
}

// addressee returns where a caught signal is passed on to, in the form of kill(2): the command, the
// command's process group, or 0 for nowhere.
func (s *supervision) addressee(i *siginfo, justStarted bool) int {
	switch n := i.number(); {
	case !s.isForCommand(i):
		return 0
	case i.isTerminals():
		if to := s.addresseeOfTerminal(n); to != 0 || !justStarted {
			return to
		}
	case n == syscall.SIGCONT:
		// The terminal has stopped the whole group, so the whole group goes on.
		if group := s.addresseeOfTerminal(n); group != 0 {
			return group
		}
	}
	return s.pid
}

// isForCommand lists the signals that are not for the command.
func (s *supervision) isForCommand(i *siginfo) bool {
	switch n := i.number(); {
	case n == 0 || i.isOwn():
		return false
	case n == syscall.SIGCONT && i.code == codeKill && int(i.pid) == s.resumer:
		return false
	case i.isAboutChild():
		return false
	case n == syscall.SIGXCPU && i.code > 0: // the CPU time of this process
		return false
	case atEntry.ignored.has(n) && n != syscall.SIGCONT:
		return false
	}
	return true
}

// isTerminals reports whether the signal can be a terminal's. A terminal signals a whole process
// group (isig in drivers/tty/n_tty.c, and tty_jobctrl.c), with another code than kill(2).
func (i *siginfo) isTerminals() bool {
	switch i.number() {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
		syscall.SIGHUP, syscall.SIGCONT, syscall.SIGWINCH:
		return i.code == codeKernel
	}
	return false
}

// addresseeOfTerminal returns where a terminal's signal is passed on to. If the command is in this
// process's group, the command has got the signal too: 0. Otherwise it is the command's group if
// the command leads one, or else the command.
//
// There is one exception: when a terminal hangs up, SIGHUP and SIGCONT go only to the leader of the
// session (tty_signal_session_leader in drivers/tty/tty_jobctrl.c).
func (s *supervision) addresseeOfTerminal(n syscall.Signal) int {
	group := groupOf(s.pid)
	switch {
	case group < 0:
		return s.pid
	case group == groupOf(0):
		session := bare.Sys(unix.SYS_GETSID, 0, 0, 0, 0)
		if (n == syscall.SIGHUP || n == syscall.SIGCONT) && session == ownPID() {
			return s.pid
		}
		return 0
	case group == s.pid:
		return -group
	}
	return s.pid
}

// groupOf returns the process group of a process, 0 standing for this one. A negative result is an
// errno.
func groupOf(pid int) int { return bare.Sys(unix.SYS_GETPGID, uintptr(pid), 0, 0, 0) }
