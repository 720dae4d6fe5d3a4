package supervisor

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Status says how a command ended.
type Status struct{ wait syscall.WaitStatus }

// Signal is the signal that the command died of, if it did.
func (s Status) Signal() (syscall.Signal, bool) { return s.wait.Signal(), s.wait.Signaled() }

// ExitCode is what the command passed to exit(3), and 128 + n where it died of
// signal n: what a shell shows for it.
func (s Status) ExitCode() int {
	if n, ok := s.Signal(); ok {
		return 128 + int(n)
	}
	return s.wait.ExitStatus()
}

// Die ends this process by a signal, without a core dump of its own. Where that
// cannot be (init of a pid namespace does not die so), it exits with 128 + n.
func Die(n syscall.Signal) {
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	raiseByDefault(n)
	os.Exit(128 + int(n))
}

// raiseByDefault lets a signal do to this process what it does by default, and
// if the process goes on after that, handles the signal again as before.
func raiseByDefault(n syscall.Signal) { raiseUnless(n, func() bool { return false }) }

// raiseUnless does so unless stale, which is asked last of all, with all signals
// blocked, says that the signal is out of date.
func raiseUnless(n syscall.Signal, stale func() bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var byDefault, before sigaction
	every, only, maskBefore := ^set(0), setOf(n), set(0)
	setMask(unix.SIG_SETMASK, &every, &maskBefore)
	setAction(n, &byDefault, &before)
	if !stale() {
		unix.Tgkill(unix.Getpid(), unix.Gettid(), n)
		setMask(unix.SIG_UNBLOCK, &only, nil)
	}
	setMask(unix.SIG_SETMASK, &maskBefore, nil)
	setAction(n, &before, nil)
}
