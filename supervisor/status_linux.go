package supervisor

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

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
	runtime.LockOSThread()
	// os/signal cannot give a signal its default action back once the runtime
	// handles it: the runtime would die of some with a stack trace.
	var defaults struct{ handler, flags, restorer, mask uint64 } // struct kernel_sigaction
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(&defaults)), 0, 8, 0, 0)
	var set unix.Sigset_t
	set.Val[(n-1)/64] = 1 << ((n - 1) % 64)
	unix.PthreadSigmask(unix.SIG_UNBLOCK, &set, nil)
	unix.Tgkill(unix.Getpid(), unix.Gettid(), n)
	os.Exit(128 + int(n))
}
