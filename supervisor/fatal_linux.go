package supervisor

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// When the Go runtime gives up (it cannot start a thread, there is no memory, a panic), it writes a
// report of many lines, which is made for developers. Here the report becomes one message, and the
// runtime then exits with status 2. If the report names a signal (of a fault, or a signal that
// arrived before Catch), the process dies of that signal instead. A command that runs already goes
// on, as if this process had been killed.

// overrideWrite replaces the runtime's write, unless nil (runtime/time_nofake.go). enter sets it.
//
//go:linkname overrideWrite runtime.overrideWrite
var overrideWrite func(fd uintptr, text unsafe.Pointer, length int32) int32

var (
	fatalLine  line // the first line of the report, which arrives in pieces
	fatalDone  bool // the message is written
	fatalTexts = [...]struct{ report, text string }{
		{"failed to create new OS thread", "cannot start a thread: too many processes (ulimit -u), no memory, or a scheduling policy or pid namespace that forbids it"},
		{"out of memory", "out of memory"},
		{"cannot allocate memory", "out of memory"},
	}
)

// fatal is bare Go. The runtime can call it at any point. A write to a descriptor other than
// standard error is not part of a report: the runtime wakes its poller in this way (netpollBreak in
// runtime/netpoll_epoll.go).
//
//go:nosplit
func fatal(fd uintptr, text unsafe.Pointer, length int32) int32 {
	if fd != 2 {
		return int32(sys(unix.SYS_WRITE, fd, uintptr(text), uintptr(length), 0))
	}
	for i := range int(length) {
		switch c := *(*byte)(unsafe.Add(text, i)); {
		case fatalDone:
		case c != '\n':
			fatalLine.add(unsafe.String((*byte)(unsafe.Add(text, i)), 1))
		case fatalLine.length > 0:
			fatalDone = true
			writeFatal()
		}
	}
	return length
}

// writeFatal is bare Go. It writes the message for fatalLine, or dies of the signal in it.
//
//go:nosplit
func writeFatal() {
	for n := range reportedSignals {
		if name := reportedSignals[n]; name != "" && startsWith(&fatalLine.text[0], name) {
			dieBare(syscall.Signal(n))
		}
	}
	const before, internal, after = "poolrun: ", "internal error: ", "\n"
	put(before)
	for i := range fatalTexts {
		if fatalLine.has(fatalTexts[i].report) {
			put(fatalTexts[i].text)
			put(after)
			return
		}
	}
	put(internal)
	fatalLine.write()
	put(after)
}

// reportedSignals are the signals that the runtime reports before it dies, with its names for them
// (runtime/sigtab_linux_generic.go).
var reportedSignals = [...]string{
	unix.SIGQUIT: "SIGQUIT:", unix.SIGILL: "SIGILL:", unix.SIGTRAP: "SIGTRAP:", unix.SIGABRT: "SIGABRT:", unix.SIGBUS: "SIGBUS:",
	unix.SIGFPE: "SIGFPE:", unix.SIGSEGV: "SIGSEGV:", unix.SIGSTKFLT: "SIGSTKFLT:", unix.SIGSYS: "SIGSYS:",
}

// dieBare is ExitBySignal in bare Go.
//
//go:nosplit
func dieBare(n syscall.Signal) {
	var byDefault sigaction
	only := signalSet(1) << (n - 1)
	sys(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0)
	sys(unix.SYS_RT_SIGACTION, uintptr(n), pointer(&byDefault), 0, 8)
	sys(unix.SYS_RT_SIGPROCMASK, unix.SIG_UNBLOCK, pointer(&only), 0, 8)
	sys(unix.SYS_TGKILL, uintptr(sys(unix.SYS_GETPID, 0, 0, 0, 0)), uintptr(sys(unix.SYS_GETTID, 0, 0, 0, 0)), uintptr(n), 0)
}

// put is bare Go. It writes a text to standard error.
//
//go:nosplit
func put(text string) {
	sys(unix.SYS_WRITE, 2, uintptr(unsafe.Pointer(unsafe.StringData(text))), uintptr(len(text)), 0)
}
