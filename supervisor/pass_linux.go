package supervisor

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// passAll passes all caught signals on, and reports whether a SIGCONT was among them.
func (r *running) passAll(young bool) (continues bool) {
	var buffer [4]siginfo
	for signals := caught(&buffer); len(signals) > 0; signals = caught(&buffer) {
		for _, i := range signals {
			r.pass(i, young)
			continues = continues || syscall.Signal(i.signal) == syscall.SIGCONT
		}
	}
	return continues
}

// pass passes a caught signal on to the command, unless the command has got it as
// well, or it is none of the command's business. Where the command may have been too
// young to get it, it is passed on in any case.
func (r *running) pass(i siginfo, young bool) {
	n := syscall.Signal(i.signal)
	switch {
	case n == 0 || i.isOwn():
		return
	case n == syscall.SIGCONT && i.code == sentByKill && int(i.pid) == r.watcher:
		return
	case n == syscall.SIGCHLD && i.code > 0: // a child of this process's
		return
	case n == syscall.SIGXCPU && i.code > 0: // this process's own CPU time
		return
	case atEntry.ignored.has(n) && n != syscall.SIGCONT:
		return
	}
	to := r.pid
	if i.isTerminals() {
		to = r.addressee(n)
		if to == 0 && !young {
			return
		}
		if to == 0 {
			to = r.pid
		}
	} else if n == syscall.SIGCONT {
		// What the terminal has stopped goes on as a whole.
		if group := r.addressee(n); group != 0 {
			to = group
		}
	}
	err := i.send(to)
	if err == unix.EPERM && r.refused != nil && !r.told.has(n) {
		r.told |= setOf(n)
		r.refused(n, r.pid, err)
	}
}

// isTerminals reports whether the signal may be a terminal's. Those go to a whole
// process group (drivers/tty/n_tty.c, isig; tty_jobctrl.c), and si_code tells them
// from kill(2)'s.
func (i *siginfo) isTerminals() bool {
	switch syscall.Signal(i.signal) {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
		syscall.SIGHUP, syscall.SIGCONT, syscall.SIGWINCH:
		return i.code == sentByKernel
	}
	return false
}

// addressee returns to whom a terminal's signal that this process has got is passed on,
// in the form of kill(2): 0 where the command has got it too, being in the same group;
// else the command's group, or the command alone where the group is not its own.
//
// The exception: when a terminal is gone, SIGHUP and SIGCONT go to the leader of the
// session alone (tty_signal_session_leader).
func (r *running) addressee(n syscall.Signal) int {
	group, err := unix.Getpgid(r.pid)
	switch {
	case err != nil:
		return r.pid
	case group == unix.Getpgrp():
		if session, _ := unix.Getsid(0); (n == syscall.SIGHUP || n == syscall.SIGCONT) && session == os.Getpid() {
			return r.pid
		}
		return 0
	case group == r.pid:
		return -group
	}
	return r.pid
}
