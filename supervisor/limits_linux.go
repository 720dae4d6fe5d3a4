package supervisor

import (
	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// needs lists the resource limits (getrlimit(2)) with which the Go runtime can fail. Limits that
// are too low are raised for this process, and the command gets them back as they were.
//
// Every process may raise a soft limit to the hard limit, and with CAP_SYS_RESOURCE also the hard
// limit. If that does not suffice, the runtime is made to use less memory (memory_linux.go). If
// that does not suffice either, the process writes a message and exits before it does anything
// else.
//
// RLIMIT_STACK is not in the list, because enter makes its own stack. Whether one more thread or
// process can be created is known only when that fails: see fatal.
var needs = [...]need{
	{unix.RLIMIT_AS, "an address space of ", " kB (ulimit -v)", 10, 64 << 20, 2 << 30},
	{unix.RLIMIT_DATA, "a data segment of ", " kB (ulimit -d)", 10, 16 << 20, 1 << 30},
	{unix.RLIMIT_NOFILE, "", " open files (ulimit -n)", 0, 16, 64},
	{unix.RLIMIT_NPROC, "", " processes (ulimit -u)", 0, 0, 0},
}

// A need is how much of a resource this process needs.
type need struct {
	resource     uintptr
	before, unit string // for the message
	shift        uint   // a limit is shown shifted right by this many bits
	least        uint64 // the process cannot run with less
	comfortable  uint64 // the process needs no special measures with this much
}

// raiseLimits is bare Go. It notes the limits and raises those that are too low.
func raiseLimits() {
	for i := range needs {
		n := &needs[i]
		was := &atEntry.limits[i]
		if bare.Sys(unix.SYS_PRLIMIT64, 0, n.resource, 0, bare.Pointer(was)) < 0 {
			continue
		}
		now := unix.Rlimit{Cur: was.Max, Max: was.Max}
		if was.Cur < was.Max && bare.Sys(unix.SYS_PRLIMIT64, 0, n.resource, bare.Pointer(&now), 0) == 0 {
			atEntry.limitsRaised |= 1 << i
		}
		if was.Max >= n.comfortable {
			continue
		}
		now = unix.Rlimit{Cur: n.comfortable, Max: n.comfortable}
		switch {
		case bare.Sys(unix.SYS_PRLIMIT64, 0, n.resource, bare.Pointer(&now), 0) == 0:
			atEntry.limitsRaised |= 1 << i
		case was.Max < n.least:
			refuse(n, was.Max)
		case n.resource != unix.RLIMIT_NOFILE:
			cgoMmap = thriftyMmap
		}
	}
}

// refuse is bare Go. It writes which resource is too small, and exits.
func refuse(n *need, has uint64) {
	var buffer [128]byte
	t := bare.In(buffer[:])
	t.Add("poolrun: cannot run with ")
	t.Add(n.before)
	t.AddNumber(has>>n.shift, 10)
	t.Add(n.unit)
	t.Add(": ")
	t.AddNumber(n.least>>n.shift, 10)
	t.Add(" are needed\n")
	t.Write()
	bare.Sys(unix.SYS_EXIT_GROUP, exitFailure, 0, 0, 0)
}

// restoreLimits is bare Go, and runs in the child. It restores the limits that this process was
// started with.
//
//go:norace
func restoreLimits() {
	for i := range needs {
		if atEntry.limitsRaised>>i&1 != 0 {
			bare.Sys(unix.SYS_PRLIMIT64, 0, needs[i].resource, bare.Pointer(&atEntry.limits[i]), 0)
		}
	}
}
