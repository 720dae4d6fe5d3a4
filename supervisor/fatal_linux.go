package supervisor

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the Go runtime writes when it gives up (a thread that cannot be started, no
// memory, a panic) is a report of many lines for whoever debugs the program. A user
// gets its first line, as a message of poolrun's, and the runtime then exits with
// status 2; or it dies of the signal that the line names: a fault's, or one that
// somebody has sent before catchAll. If the command runs by then, it keeps its slot, as
// if poolrun had been killed.

// overrideWrite is what the runtime writes with, if it is set
// (runtime/time_nofake.go). enter sets it.
//
//go:linkname overrideWrite runtime.overrideWrite
var overrideWrite func(fd uintptr, text unsafe.Pointer, length int32) int32

// fatalLine is the first line of the runtime's report; it comes in pieces.
var (
	fatalLine  line
	fatalSaid  bool
	fatalTexts = [...]struct{ report, text string }{
		{"failed to create new OS thread", "cannot start a thread: too many processes (ulimit -u), no memory, or a scheduling policy or pid namespace that forbids it"},
		{"out of memory", "out of memory"},
		{"cannot allocate memory", "out of memory"},
	}
)

// fatal is bare Go, and the runtime may call it anywhere. What is not meant for the
// standard error is no report: the runtime wakes its poller by a write (netpollBreak in
// runtime/netpoll_epoll.go).
//
//go:nosplit
func fatal(fd uintptr, text unsafe.Pointer, length int32) int32 {
	if fd != 2 {
		return int32(sys(unix.SYS_WRITE, fd, uintptr(text), uintptr(length), 0))
	}
	for i := range int(length) {
		switch c := *(*byte)(unsafe.Add(text, i)); {
		case fatalSaid:
		case c != '\n':
			fatalLine.add(unsafe.String((*byte)(unsafe.Add(text, i)), 1))
		case fatalLine.length > 0:
			fatalSaid = true
			sayFatal()
		}
	}
	return length
}

//go:nosplit
func sayFatal() {
	for n := range signalNames {
		if name := signalNames[n]; name != "" && startsWith(&fatalLine.text[0], name) {
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
	fatalLine.say()
	put(after)
}

// signalNames are the names that the runtime has for the signals of which it does not die
// silently (runtime/sigtab_linux_generic.go).
var signalNames = [...]string{
	unix.SIGQUIT: "SIGQUIT:", unix.SIGILL: "SIGILL:", unix.SIGTRAP: "SIGTRAP:", unix.SIGABRT: "SIGABRT:", unix.SIGBUS: "SIGBUS:",
	unix.SIGFPE: "SIGFPE:", unix.SIGSEGV: "SIGSEGV:", unix.SIGSTKFLT: "SIGSTKFLT:", unix.SIGSYS: "SIGSYS:",
}

// dieBare is Die in bare Go.
//
//go:nosplit
func dieBare(n syscall.Signal) {
	var byDefault sigaction
	only := set(1) << (n - 1)
	sys(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0)
	sys(unix.SYS_RT_SIGACTION, uintptr(n), pointer(&byDefault), 0, 8)
	sys(unix.SYS_RT_SIGPROCMASK, unix.SIG_UNBLOCK, pointer(&only), 0, 8)
	sys(unix.SYS_TGKILL, uintptr(sys(unix.SYS_GETPID, 0, 0, 0, 0)), uintptr(sys(unix.SYS_GETTID, 0, 0, 0, 0)), uintptr(n), 0)
}

//go:nosplit
func put(text string) {
	sys(unix.SYS_WRITE, 2, uintptr(unsafe.Pointer(unsafe.StringData(text))), uintptr(len(text)), 0)
}

// has reports whether the line contains a text.
//
//go:nosplit
func (l *line) has(text string) bool {
	for i := 0; i+len(text) <= l.length; i++ {
		if startsWith((*byte)(unsafe.Add(unsafe.Pointer(&l.text), i)), text) {
			return true
		}
	}
	return false
}
