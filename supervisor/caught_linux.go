package supervisor

import (
	"math/bits"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Caught signals, without os/signal. That has a thread of its own for them, and
// catching each one takes two switches to it and back: 0.4 ms in all, a third of
// what flock(1) takes to run a command.
//
// The handler, in handler_linux_*.s, does what is safe in a handler and no more
// (signal-safety(7)): it sets a bit in pending and adds to an eventfd, on which
// the process sleeps. execve(2) takes the handler away from the command.
var (
	pending uint64 // bit n-1: signal n was caught and not taken yet
	wakeUps int32  // the eventfd
)

// handler returns the addresses of the handler and of its end.
func handler() (note, end uintptr)

// A set is a set of signals: bit n-1 for signal n.
type set uint64

func setOf(signals ...syscall.Signal) (s set) {
	for _, n := range signals {
		s |= 1 << (n - 1)
	}
	return s
}

func (s set) has(n syscall.Signal) bool { return s&setOf(n) != 0 }

// each calls yield for every signal in the set.
func (s set) each(yield func(syscall.Signal) bool) {
	for ; s != 0; s &= s - 1 {
		if !yield(syscall.Signal(bits.TrailingZeros64(uint64(s)) + 1)) {
			return
		}
	}
}

// openWakeUps makes what sleep sleeps on.
func openWakeUps() error {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	wakeUps = int32(fd)
	return err
}

// catch catches a signal from now on.
func catch(n syscall.Signal) {
	note, end := handler()
	setAction(n, &sigaction{handler: note, flags: saOnStack | saRestart | saRestorer, restorer: end, mask: ^uint64(0)}, nil)
}

// take takes those signals of a set that were caught.
func take(wanted set) set {
	return set(atomic.AndUint64(&pending, ^uint64(wanted))) & wanted
}

// sleep returns when a signal has been caught, or wake called, since it returned
// last. It may also return for no reason.
func sleep() {
	var count [8]byte
	unix.Read(int(wakeUps), count[:])
}

func wake() { unix.Write(int(wakeUps), []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// Flags of sigaction(2), from asm/signal.h.
const (
	saRestorer = 0x04000000
	saOnStack  = 0x08000000 // Go's threads have small stacks
	saRestart  = 0x10000000
)

// sigaction is struct kernel_sigaction, of 64-bit Linux.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

func setAction(n syscall.Signal, new, old *sigaction) {
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n),
		uintptr(unsafe.Pointer(new)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
}
