package supervisor

import (
	"os"
	"runtime"
	"syscall"

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

var (
	harmlessSignals = setOf(syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH)
	stopSignals     = setOf(syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
)

// effectOf returns the effect that a caught signal would have had on this process.
func effectOf(i siginfo) effect {
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
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	raiseByDefault(n)
	os.Exit(128 + int(n))
}

// Suspend stops this process by the default action of a stop signal, and returns when the process
// continues. It does nothing if the signal was ignored when the process started. The kernel does
// not stop a process in an orphaned process group, except by SIGSTOP; Suspend then returns at once.
func Suspend(n syscall.Signal) {
	if !atEntry.ignored.has(n) {
		raiseByDefault(n)
	}
}

// raiseByDefault lets a signal take its default action on this process, and restores the handler if
// the process goes on.
func raiseByDefault(n syscall.Signal) { raiseUnless(n, func() bool { return false }) }

// raiseUnless does the same, unless cancelled returns true. It calls cancelled last of all, with
// all signals blocked.
func raiseUnless(n syscall.Signal, cancelled func() bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var byDefault, before sigaction
	every, only, maskBefore := ^signalSet(0), setOf(n), signalSet(0)
	setMask(unix.SIG_SETMASK, &every, &maskBefore)
	setAction(n, &byDefault, &before)
	if !cancelled() {
		unix.Tgkill(unix.Getpid(), unix.Gettid(), n)
		setMask(unix.SIG_UNBLOCK, &only, nil)
	}
	setMask(unix.SIG_SETMASK, &maskBefore, nil)
	setAction(n, &before, nil)
}
