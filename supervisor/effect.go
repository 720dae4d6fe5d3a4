package supervisor

import (
	"runtime"
	"syscall"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// An effect is what a signal does to a process that does not catch it, signal(7).
type effect int

const (
	effectNone  effect = iota
	effectKept         // the signal was blocked when the process started, and stays pending
	effectStop         // it stops the process
	effectDeath        // it ends the process
)

const (
	harmlessSignals signalSet = 1<<(unix.SIGCHLD-1) | 1<<(unix.SIGCONT-1) | 1<<(unix.SIGURG-1) | 1<<(unix.SIGWINCH-1)
	stopSignals     signalSet = 1<<(unix.SIGTSTP-1) | 1<<(unix.SIGTTIN-1) | 1<<(unix.SIGTTOU-1)
)

// effectOf returns the effect that a caught signal would have had on this process. It is bare Go.
func effectOf(i *siginfo) effect {
	n := i.number()
	switch {
	case n == 0 || i.isOwn() || atEntry.ignored.has(n):
		return effectNone
	case i.isAboutChild():
		return effectNone
	case atEntry.blocked.has(n):
		return effectKept
	case harmlessSignals.has(n):
		return effectNone
	case stopSignals.has(n):
		return effectStop
	}
	return effectDeath
}

// ExitBySignal ends this process by the default action of a signal, and does not return. The
// process leaves no core dump. If the signal has no deadly effect, as in process 1 of a pid
// namespace (pid_namespaces(7)), it exits with status 128 + n.
func ExitBySignal(n syscall.Signal) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	exitBySignal(n)
}

// The functions below are bare Go. They must stay on one thread.

// exitBySignal is ExitBySignal.
func exitBySignal(n syscall.Signal) {
	bare.Sys(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0)
	d := beginDefault(n)
	d.raise()
	d.end()
	bare.Sys(unix.SYS_EXIT_GROUP, uintptr(128+n), 0, 0, 0)
}

// suspend stops this process by the default action of a stop signal, and returns true when the
// process continues. It does nothing if the signal was ignored when the process started. The kernel
// does not stop a process in an orphaned process group, except by SIGSTOP.
//
// It returns false, with nothing done, if another signal is in the queue. If that is a SIGCONT, it
// discards the stop, and otherwise nothing would continue this process. A SIGCONT that comes while
// the stop signal is pending makes the kernel discard that (prepare_signal in kernel/signal.c).
func (q *queue) suspend(n syscall.Signal) (done bool) {
	if atEntry.ignored.has(n) {
		return true
	}
	d := beginDefault(n)
	if q.isKernels {
		if done = !blockedPending().has(syscall.SIGCONT); done { // a SIGCONT that comes now is lost
			d.raise()
		}
	} else {
		cont := setOf(syscall.SIGCONT)
		setMask(unix.SIG_UNBLOCK, &cont, nil) // for the handler
		d.raise()
		if done = !q.take(&q.next); !done {
			var raised siginfo
			takeBlocked(setOf(n), &raised, &unix.Timespec{})
		}
	}
	d.end()
	return done
}

// A defaultAction is a signal that is about to take its default action on this process. All signals
// are blocked from beginDefault to end.
type defaultAction struct {
	signal syscall.Signal
	action sigaction // before
	mask   signalSet // before
}

func beginDefault(n syscall.Signal) (d defaultAction) {
	every := ^signalSet(0)
	setMask(unix.SIG_SETMASK, &every, &d.mask)
	setAction(n, &sigaction{}, &d.action)
	d.signal = n
	return d
}

// raise sends the signal to this thread.
func (d *defaultAction) raise() {
	bare.Sys(unix.SYS_TGKILL, uintptr(ownPID()), uintptr(bare.Sys(unix.SYS_GETTID, 0, 0, 0, 0)), uintptr(d.signal), 0)
}

// end lets the signal take its action if it was raised. If the process goes on, it restores what was
// before.
func (d *defaultAction) end() {
	only := setOf(d.signal)
	setMask(unix.SIG_UNBLOCK, &only, nil)
	setMask(unix.SIG_SETMASK, &d.mask, nil)
	setAction(d.signal, &d.action, nil)
}
