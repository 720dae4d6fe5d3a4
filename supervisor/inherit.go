package supervisor

import (
	"os/signal"
	"syscall"
)

// What a process inherits at exec(2) and the Go runtime changes before main:
// it replaces an inherited SIG_IGN by a handler of its own for every signal but
// SIGHUP and SIGINT, and opens /dev/null where descriptor 0, 1 or 2 is closed. A
// command must find both as they were. So a program that is linked with
//
//	go build -ldflags "-E poolrun_entry"
//
// starts in entry_linux_*.s, which notes both here and then starts the runtime.
// In a program linked without that, SIGHUP and SIGINT are known from os/signal
// and all else counts as not ignored and not closed.
var (
	ignoredAtEntry uint64 // bit n-1: signal n was ignored
	closedAtEntry  uint64 // bit n: descriptor n was closed
)

// ignoredAtStart reports whether the process was started with this signal
// ignored.
func ignoredAtStart(s syscall.Signal) bool {
	return ignoredAtEntry&(1<<(s-1)) != 0 || (s == syscall.SIGHUP || s == syscall.SIGINT) && signal.Ignored(s)
}

// restoreIgnored ignores again what was ignored at the start, so that a child
// inherits it. It leaves out what this process cannot do without: SIGCHLD, since
// wait(2) gives no status of a child while that is ignored, and the signals of
// memory faults.
func restoreIgnored() {
	for s := syscall.Signal(1); s <= lastSignal; s++ {
		switch s {
		case syscall.SIGCHLD, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE:
		default:
			if ignoredAtEntry&(1<<(s-1)) != 0 {
				signal.Ignore(s)
			}
		}
	}
}

const lastSignal = syscall.Signal(64)

// standardFiles are the child's descriptors 0, 1 and 2: the parent's own.
func standardFiles() []uintptr {
	files := []uintptr{0, 1, 2}
	for fd := range files {
		if closedAtEntry&(1<<fd) != 0 {
			files[fd] = ^uintptr(0) // syscall.ForkExec closes it in the child
		}
	}
	return files
}
