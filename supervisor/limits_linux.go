package supervisor

import "golang.org/x/sys/unix"

// The Go runtime cannot live with every resource limit (getrlimit(2)). Limits that are too
// low for it are raised for poolrun, and the command gets them as they were.
//
// Anybody may raise a soft limit to the hard one, CAP_SYS_RESOURCE also the hard one.
// Where that does not suffice, the runtime is made to live with less memory
// (memory_linux.go); and where that does not, poolrun says so and exits, before it has
// taken a slot.
//
// A limit of the stack's size is no trouble, since enter makes a stack itself; and
// whether one more process or thread may be started is only known when it is tried:
// see fatal.
var needs = [...]need{
	{unix.RLIMIT_AS, "an address space of ", " kB (ulimit -v)", 10, 64 << 20, 2 << 30},
	{unix.RLIMIT_DATA, "a data segment of ", " kB (ulimit -d)", 10, 16 << 20, 1 << 30},
	{unix.RLIMIT_NOFILE, "", " open files (ulimit -n)", 0, 16, 64},
	{unix.RLIMIT_NPROC, "", " processes (ulimit -u)", 0, 0, 0},
}

// A need says what the runtime and poolrun need of a resource.
type need struct {
	resource     uintptr
	before, unit string // for the message
	shift        uint   // bits between bytes, or whatever is limited, and the unit
	least        uint64 // with less it does not work
	comfortable  uint64 // with this it works without more ado
}

// raiseLimits is bare Go.
func raiseLimits() {
	for i := range needs {
		n := &needs[i]
		was := &atEntry.limits[i]
		if sys(unix.SYS_PRLIMIT64, 0, n.resource, 0, pointer(was)) < 0 {
			continue
		}
		now := unix.Rlimit{Cur: was.Max, Max: was.Max}
		if was.Cur < was.Max && sys(unix.SYS_PRLIMIT64, 0, n.resource, pointer(&now), 0) == 0 {
			atEntry.limitsRaised |= 1 << i
		}
		if was.Max >= n.comfortable {
			continue
		}
		now = unix.Rlimit{Cur: n.comfortable, Max: n.comfortable}
		switch {
		case sys(unix.SYS_PRLIMIT64, 0, n.resource, pointer(&now), 0) == 0:
			atEntry.limitsRaised |= 1 << i
		case was.Max < n.least:
			refuse(n, was.Max)
		case n.resource != unix.RLIMIT_NOFILE:
			cgoMmap = thriftyMmap
		}
	}
}

// refuse is bare Go: it says what is missing, and exits.
func refuse(n *need, has uint64) {
	var l line
	l.add("poolrun: cannot run with ")
	l.add(n.before)
	l.addNumber(has >> n.shift)
	l.add(n.unit)
	l.add(": ")
	l.addNumber(n.least >> n.shift)
	l.add(" are needed\n")
	l.say()
	sys(unix.SYS_EXIT_GROUP, exitFailure, 0, 0, 0)
}

// restoreLimits is bare Go, for the child: it gives itself the limits that this
// process was started with.
func restoreLimits() {
	for i := range needs {
		if atEntry.limitsRaised>>i&1 != 0 {
			sys(unix.SYS_PRLIMIT64, 0, needs[i].resource, pointer(&atEntry.limits[i]), 0)
		}
	}
}
