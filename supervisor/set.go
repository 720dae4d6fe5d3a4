package supervisor

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// A set is a set of signals: bit n-1 for signal n, as in the kernel.
type set uint64

func setOf(signals ...syscall.Signal) (s set) {
	for _, n := range signals {
		s |= 1 << (n - 1)
	}
	return s
}

func (s set) has(n syscall.Signal) bool { return s>>(n-1)&1 != 0 }

// SignalName is the name that kill(1) knows, with SIG before it.
func SignalName(n syscall.Signal) string {
	if name := unix.SignalName(n); name != "" {
		return name
	}
	if n >= firstRealTime {
		return fmt.Sprintf("SIGRTMIN+%d", n-firstRealTime)
	}
	return fmt.Sprintf("signal %d", n)
}

const firstRealTime = 34 // SIGRTMIN of glibc
