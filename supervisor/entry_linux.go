package supervisor

import (
	"os"
	"strings"
	"syscall"
	"unsafe"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// # The entry point and the signal handler
//
// A program that uses this package should be linked with
//
//	CGO_ENABLED=0 go build -ldflags "-E poolrun_entry"
//
// It then starts at poolrun_entry (bare_linux_*.s) instead of at the Go runtime's entry point.
// poolrun_entry calls enter, which notes what the process has inherited before the runtime changes
// it, blocks all signals, and prepares a stack and an environment for the runtime. Then the runtime
// starts.
//
// As soon as this package is initialized, it replaces the runtime's signal handlers by one of its
// own, noteSignal (bare_linux_*.s), which writes the siginfo of each signal into a pipe
// (queue_linux.go). Only then are the signals unblocked. So the two belong together: between the
// entry point and the handler no signal is lost, and none has an effect that it would not have had
// on the command.
//
// One gap remains. The runtime unblocks SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGTERM and the signals
// of faults (blockableSig in runtime/signal_unix.go) a moment before the handler is installed, and
// a signal of these that arrives in that moment has the runtime's effect.
//
// In a program that is linked without the flag:
//
//   - The command does not ignore the signals that the process was started to ignore, except
//     SIGHUP and SIGINT, and it has no signals blocked or pending.
//   - A signal that arrives before Catch has the effect that the runtime gives it.
//   - A closed descriptor 0, 1 or 2 is /dev/null for the command.
//   - The command loses its parent-death signal, the child-subreaper attribute, and a timer
//     slack of its own, and its soft limit of open files is raised.
//   - Variables such as GODEBUG and GOMEMLIMIT act on this process, and a variable that occurs
//     twice reaches the command once.
//   - With a low resource limit the process ends with a report of the runtime.
//   - The runtime starts more threads, and its monitor wakes more often.

// atEntry is what enter has noted. Without the entry point it is zero, except for what init can
// still find out.
var atEntry struct {
	entered             bool
	ignored             signalSet
	blocked             signalSet
	closed              uint64          // bit n: descriptor n, of 0 to 2, was closed
	environ             *[1 << 28]*byte // ends with a nil
	slack, defaultSlack int             // the timer slack, in nanoseconds
	deathSignal         int32           // prctl(2), PR_SET_PDEATHSIG
	subreaper           int32           // prctl(2), PR_SET_CHILD_SUBREAPER
	limits              [len(needs)]unix.Rlimit
	limitsRaised        uint64 // bit i: the limit of needs[i] was raised
	pending             siginfos
}

// HasEntryPoint reports whether the program was linked with -ldflags "-E poolrun_entry". Without
// the entry point the command does not inherit all that the process inherited: blocked signals and
// closed descriptors are examples. The first comment in entry_linux.go has the list.
func HasEntryPoint() bool { return atEntry.entered }

// WasClosed reports whether descriptor 0, 1 or 2 was closed when the process started. Without the entry
// point that is not known.
func WasClosed(fd int) bool { return atEntry.closed>>fd&1 != 0 }

// Environ returns the environment that the process inherited, unchanged. Unlike os.Environ it
// includes the variables that the entry point hides from the Go runtime, and entries that
// os.Environ drops, such as the second of two variables of the same name.
func Environ() []string {
	if atEntry.environ == nil {
		return os.Environ()
	}
	var env []string
	for i := 0; atEntry.environ[i] != nil; i++ {
		env = append(env, unix.BytePtrToString(atEntry.environ[i]))
	}
	return env
}

// Without the entry point only this much is still known when the program's own code starts: the
// runtime leaves an ignored SIGHUP or SIGINT as it is (runtime/signal_unix.go).
func init() {
	if atEntry.entered {
		return
	}
	for _, n := range [...]syscall.Signal{unix.SIGHUP, unix.SIGINT} {
		var action sigaction
		setAction(n, nil, &action)
		if action.handler == sigIgnore {
			atEntry.ignored |= setOf(n)
		}
	}
}

// iscgo is the runtime's: whether the program uses cgo.
//
//go:linkname iscgo runtime.iscgo
var iscgo bool

// beforeRuntime, if the program gives it a value by linkname, is called by the entry point before
// the Go runtime has started, if the process has inherited nothing out of the ordinary. It is bare
// Go (internal/bare), and may end the process. If it returns, the runtime starts.
//
//go:linkname beforeRuntime
var beforeRuntime func(argc int, argv, environ **byte)

// enter is bare Go. It runs on bare.stack. Its argument is the stack that the kernel made: argc,
// argv, NULL, the environment, NULL, the auxiliary vector (x86-64 psABI 3.4.1). It returns another
// stack of that form, on which the runtime starts.
//
// The stack is another one for two reasons. Its environment differs; and the runtime assumes that
// its first stack reaches 64 kB down (rt0_go in runtime/asm_*.s), which is not so with a small
// RLIMIT_STACK.
//
//lint:ignore U1000 assembly uses it
func enter(initial *[1 << 28]uintptr) (stack uintptr) {
	e := &atEntry
	e.entered = true
	if iscgo { // its C library looks for the stack on which this process was started
		fail("poolrun: cannot run: built with cgo, which does not go with the entry point: build with CGO_ENABLED=0\n")
	}

	// A blocked signal waits: for catchAll, or for Direct.
	every := ^signalSet(0)
	setMask(unix.SIG_SETMASK, &every, &e.blocked)
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		var action sigaction
		setAction(n, nil, &action)
		if action.handler == sigIgnore {
			e.ignored |= 1 << (n - 1)
		}
	}

	// The runtime opens /dev/null if one of the first three descriptors is closed.
	for fd := range uintptr(3) {
		if bare.Sys(unix.SYS_FCNTL, fd, unix.F_GETFD, 0, 0) == -int(unix.EBADF) {
			e.closed |= 1 << fd
		}
	}

	// fork(2) clears the parent-death signal, and execve(2) does not.
	bare.Sys(unix.SYS_PRCTL, unix.PR_GET_PDEATHSIG, bare.Pointer(&e.deathSignal), 0, 0)
	bare.Sys(unix.SYS_PRCTL, unix.PR_GET_CHILD_SUBREAPER, bare.Pointer(&e.subreaper), 0, 0)

	// Setting 0 selects the default slack, which a child inherits too.
	e.slack = bare.Sys(unix.SYS_PRCTL, unix.PR_GET_TIMERSLACK, 0, 0, 0)
	bare.Sys(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, 0, 0, 0)
	e.defaultSlack = bare.Sys(unix.SYS_PRCTL, unix.PR_GET_TIMERSLACK, 0, 0, 0)

	argc := int(initial[0])
	e.environ = (*[1 << 28]*byte)(unsafe.Pointer(&initial[argc+2]))
	const unusual = faultSignals | 1<<(unix.SIGCHLD-1)
	if beforeRuntime != nil && e.blocked == 0 && e.closed == 0 && e.ignored&unusual == 0 {
		beforeRuntime(argc, (**byte)(unsafe.Pointer(&initial[1])), &e.environ[0])
	}

	// The runtime installs handlers for nearly all signals, and unblocks some. The process would die
	// of such a signal if it were pending, so the signals that are to stay pending are taken here.
	if e.blocked != 0 {
		takePending()
	}
	// Threads inherit the timer slack. With a long one the runtime's monitor wakes less often.
	bare.Sys(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, monitorSlack, 0, 0)
	raiseLimits()
	overrideWrite = fatal
	return freshStack(initial)
}

const monitorSlack = 4_000_000 // nanoseconds

// takePending is bare Go. It takes the pending signals from the kernel and notes them.
func takePending() {
	var i siginfo
	for takeBlocked(atEntry.blocked, &i, &unix.Timespec{}) {
		atEntry.pending.add(i)
	}
}

// stackSize is the room for the runtime below the words of the fresh stack.
const stackSize = 256 << 10

// freshStack is bare Go. It copies the initial stack with another environment. The variables for Go
// programs (GODEBUG, GOMEMLIMIT and so on) are left out, because they are meant for the command.
// GOMAXPROCS=1 is added: with more processors, each goroutine that becomes ready wakes or starts a
// thread.
func freshStack(initial *[1 << 28]uintptr) uintptr {
	words := int(initial[0]) + 2 // argc, argv, NULL
	for initial[words] != 0 {
		words++
	}
	for words++; initial[words] != atNull; words += 2 {
	}
	words += 2

	size := (uintptr(words+3)*8 + stackSize + 4095) &^ 4095
	memory := bare.Map(0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE, ^uintptr(0), 0)
	if memory < 0 {
		fail("poolrun: cannot run: no memory for a stack\n")
	}
	stack := (uintptr(memory) + size - uintptr(words+3)*8) &^ 15
	fresh := (*[1 << 28]uintptr)(bare.At(stack))

	from, to := int(initial[0])+2, int(initial[0])+2
	copy(fresh[:to], initial[:from])
	fresh[to] = uintptr(unsafe.Pointer(&oneProcessor))
	to++
	for ; initial[from] != 0; from++ {
		if !isForGo((*byte)(bare.At(initial[from]))) {
			fresh[to] = initial[from]
			to++
		}
	}
	copy(fresh[to:words+1], initial[from:words]) // the NULL and the auxiliary vector
	return stack
}

var oneProcessor = [...]byte{'G', 'O', 'M', 'A', 'X', 'P', 'R', 'O', 'C', 'S', '=', '1', 0}

// isForGo is bare Go. It reports whether Go programs obey this variable, as the documentation of
// packages runtime and time says.
//
//go:nosplit
func isForGo(entry *byte) bool {
	text := bare.String(entry)
	return strings.HasPrefix(text, "GO") || strings.HasPrefix(text, "ZONEINFO=")
}

const (
	atNull      = 0 // AT_NULL, getauxval(3)
	exitFailure = 2 // the exit status for a failure of poolrun's own
)

// fail is bare Go: it writes a message to standard error and exits.
func fail(text string) {
	bare.WriteError(text)
	bare.Sys(unix.SYS_EXIT_GROUP, exitFailure, 0, 0, 0)
}
