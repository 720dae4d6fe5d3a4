package supervisor

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A program that is linked with
//
//	go build -ldflags "-E poolrun_entry"
//
// starts in entry_linux_*.s, which calls enter and then the Go runtime's own entry
// point. What a process inherits at execve(2) and the runtime would change is noted
// here for the command; and the runtime finds a world in which it can live.
//
// In a program linked without that, nothing is noted but what the runtime leaves as
// it was (see init), and everything else counts as nothing special.
var atEntry struct {
	entered             bool
	ignored             set             // signals that were ignored
	blocked             set             // signals that were blocked
	closed              uint64          // bit n: descriptor n, of 0 to 2, was closed
	environ             *[1 << 28]*byte // ends with a nil
	slack, defaultSlack int             // the timer slack, in nanoseconds
	deathSignal         int32           // prctl(2), PR_SET_PDEATHSIG
	subreaper           int32           // prctl(2), PR_SET_CHILD_SUBREAPER
	limits              [len(needs)]unix.Rlimit
	limitsRaised        uint64 // bit i: the limit that needs[i] is about was raised
}

// pendingAtEntry are the signals that were blocked and pending.
var pendingAtEntry struct {
	signals [32]siginfo
	length  int
}

// enterBare is for entry_linux_*.s to call.
//
//lint:ignore U1000 assembly uses it
var enterBare = enter

// enter is bare Go. It is called on bare.stack with the stack that the kernel made
// (argc, argv, NULL, the environment, NULL, the auxiliary vector; x86-64 psABI 3.4.1),
// and returns another of that form, on which the runtime is to start.
//
// It is another one, since the environment in it is another one; and since the runtime
// takes for granted that its first stack reaches 64 kB down (rt0_go, in
// runtime/asm_*.s), which with a small RLIMIT_STACK it does not.
func enter(initial *[1 << 28]uintptr) (stack uintptr) {
	e := &atEntry
	e.entered = true

	// The runtime installs handlers for nearly all signals. Blocked, they wait for
	// catchAll, and none is lost or obeyed in another way than it should be. Except for a
	// few: the runtime unblocks SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGTERM and the faults
	// (blockableSig, runtime/signal_unix.go), and dies of one that comes before catchAll. So
	// what was blocked, and is pending already, is taken here.
	every := ^set(0)
	sys(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, pointer(&every), pointer(&e.blocked), 8)
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		var action sigaction
		sys(unix.SYS_RT_SIGACTION, uintptr(n), 0, pointer(&action), 8)
		if action.handler == sigIgnore {
			e.ignored |= 1 << (n - 1)
		}
	}
	if e.blocked != 0 {
		takePending()
	}

	// The runtime opens /dev/null where one of these is closed.
	for fd := range uintptr(3) {
		if sys(unix.SYS_FCNTL, fd, unix.F_GETFD, 0, 0) == -int(unix.EBADF) {
			e.closed |= 1 << fd
		}
	}

	// fork(2) clears this one, and execve(2) does not.
	sys(unix.SYS_PRCTL, unix.PR_GET_PDEATHSIG, pointer(&e.deathSignal), 0, 0)
	sys(unix.SYS_PRCTL, unix.PR_GET_CHILD_SUBREAPER, pointer(&e.subreaper), 0, 0)

	// Threads inherit the timer slack. The runtime's monitor would wake every 20 us
	// while the program starts; so it wakes every 4 ms.
	// One of 0 stands for a default, which is inherited too.
	e.slack = sys(unix.SYS_PRCTL, unix.PR_GET_TIMERSLACK, 0, 0, 0)
	sys(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, 0, 0, 0)
	e.defaultSlack = sys(unix.SYS_PRCTL, unix.PR_GET_TIMERSLACK, 0, 0, 0)
	sys(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, 4_000_000, 0, 0)

	raiseLimits()
	overrideWrite = fatal

	argc := int(initial[0])
	e.environ = (*[1 << 28]*byte)(unsafe.Pointer(&initial[argc+2]))
	return freshStack(initial)
}

// takePending is bare Go.
func takePending() {
	p := &pendingAtEntry
	for p.length < len(p.signals) {
		var now unix.Timespec
		if sys(unix.SYS_RT_SIGTIMEDWAIT, pointer(&atEntry.blocked), pointer(&p.signals[p.length]), pointer(&now), 8) < 0 {
			break
		}
		p.length++
	}
}

// Below the words of the fresh stack there is room for what the runtime does on it.
const stackSize = 256 << 10

// freshStack is bare Go. It copies the initial stack, but leaves out of the
// environment all that is meant for Go programs (GODEBUG, GOMEMLIMIT, ...: for the
// command, if it is one), and puts GOMAXPROCS=1 into it: with more processors, every
// goroutine that becomes ready wakes a thread, or starts one, to look for others.
func freshStack(initial *[1 << 28]uintptr) uintptr {
	words := int(initial[0]) + 2 // argc, argv, NULL
	for initial[words] != 0 {
		words++
	}
	for words++; initial[words] != atNull; words += 2 {
	}
	words += 2

	size := (uintptr(words+3)*8 + stackSize + 4095) &^ 4095
	memory, _, errno := syscall.RawSyscall6(unix.SYS_MMAP, 0, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE, ^uintptr(0), 0)
	if errno != 0 {
		var l line
		l.add("poolrun: cannot run: no memory for a stack\n")
		l.say()
		sys(unix.SYS_EXIT_GROUP, exitFailure, 0, 0, 0)
	}
	stack := (memory + size - uintptr(words+3)*8) &^ 15
	fresh := (*[1 << 28]uintptr)(at(stack))

	from, to := int(initial[0])+2, int(initial[0])+2
	copy(fresh[:to], initial[:from])
	fresh[to] = uintptr(unsafe.Pointer(&oneProcessor))
	to++
	for ; initial[from] != 0; from++ {
		if !isForGo((*byte)(at(initial[from]))) {
			fresh[to] = initial[from]
			to++
		}
	}
	copy(fresh[to:words+1], initial[from:words]) // the NULL and the auxiliary vector
	return stack
}

var oneProcessor = [...]byte{'G', 'O', 'M', 'A', 'X', 'P', 'R', 'O', 'C', 'S', '=', '1', 0}

// isForGo reports whether a variable is one that Go programs obey: package runtime's
// documentation, and package time's.
//
//go:nosplit
func isForGo(entry *byte) bool { return startsWith(entry, "GO") || startsWith(entry, "ZONEINFO=") }

// pointer is for system calls of bare Go: what it points to does not escape.
//
//go:nosplit
func pointer[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// at makes a pointer of an address outside of Go's heap.
//
//go:nosplit
func at(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

const (
	lastSignal  = syscall.Signal(64)
	sigIgnore   = 1 // SIG_IGN
	atNull      = 0 // AT_NULL, getauxval(3)
	exitFailure = 2 // what poolrun exits with where it fails itself
)

// Without the entry point, this much is still as it was when the runtime has started: it
// leaves an ignored SIGHUP or SIGINT alone (runtime/signal_unix.go).
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
