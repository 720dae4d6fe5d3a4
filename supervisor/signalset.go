package supervisor

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// A signalSet is a set of signals in the kernel's form: bit n-1 stands for signal n.
type signalSet uint64

func setOf(signals ...syscall.Signal) (s signalSet) {
	for _, n := range signals {
		s |= 1 << (n - 1)
	}
	return s
}

func (s signalSet) has(n syscall.Signal) bool { return s>>(n-1)&1 != 0 }

const (
	firstRealTime = syscall.Signal(34) // glibc's SIGRTMIN: it uses 32 and 33 itself, signal(7)
	lastSignal    = syscall.Signal(64) // SIGRTMAX
)

// SignalName returns the name of a signal as kill(1) lists it, with the prefix SIG: SIGTERM, or
// SIGRTMIN+2 for a real-time signal. For a number without a name it returns "signal N".
func SignalName(n syscall.Signal) string {
	if name := unix.SignalName(n); name != "" {
		return name
	}
	if n >= firstRealTime && n <= lastSignal {
		return fmt.Sprintf("SIGRTMIN+%d", n-firstRealTime)
	}
	return fmt.Sprintf("signal %d", int(n))
}
