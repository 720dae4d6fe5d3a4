package supervisor

import (
	"strings"
	"syscall"
	"unsafe"

	"github.com/poolrun/poolrun/internal/bare"
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
	fatalLine   [512]byte // the beginning of the first line of the report, which arrives in pieces
	fatalLength int
	fatalDone   bool // the message is written
	fatalTexts  = [...]struct{ report, text string }{
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
		return int32(bare.Sys(unix.SYS_WRITE, fd, uintptr(text), uintptr(length), 0))
	}
	for i := range int(length) {
		switch c := *(*byte)(unsafe.Add(text, i)); {
		case fatalDone:
		case c != '\n':
			if uint(fatalLength) < uint(len(fatalLine)) {
				fatalLine[fatalLength] = c
				fatalLength++
			}
		case fatalLength > 0:
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
	report := unsafe.String(&fatalLine[0], fatalLength)
	for n := range reportedSignals {
		if name := reportedSignals[n]; name != "" && strings.HasPrefix(report, name) {
			exitBySignal(syscall.Signal(n))
		}
	}
	const before, internal, after = "poolrun: ", "internal error: ", "\n"
	bare.WriteError(before)
	for i := range fatalTexts {
		if bare.Contains(report, fatalTexts[i].report) {
			bare.WriteError(fatalTexts[i].text)
			bare.WriteError(after)
			return
		}
	}
	bare.WriteError(internal)
	bare.WriteError(report)
	bare.WriteError(after)
}

// reportedSignals are the signals that the runtime reports before it dies, with its names for them
// (runtime/sigtab_linux_generic.go).
var reportedSignals = [...]string{
	unix.SIGQUIT: "SIGQUIT:", unix.SIGILL: "SIGILL:", unix.SIGTRAP: "SIGTRAP:", unix.SIGABRT: "SIGABRT:", unix.SIGBUS: "SIGBUS:",
	unix.SIGFPE: "SIGFPE:", unix.SIGSEGV: "SIGSEGV:", unix.SIGSTKFLT: "SIGSTKFLT:", unix.SIGSYS: "SIGSYS:",
}
