package supervisor

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Caught signals, without os/signal: that has a thread of its own for them, and it
// tells nothing of who sent a signal.
//
// The handler, in handler_linux_*.s, does what is safe in a handler and no more
// (signal-safety(7)): it writes the signal's siginfo into a pipe. So the pipe is the
// queue: every signal that was delivered is in it once, in order, those of real time
// as often as they came. Where it is full (nobody has read 8,000 signals), signals are
// lost, as they are in the kernel (RLIMIT_SIGPENDING). execve(2) takes the handler
// away from the command.
//
// A fault of this program's own is handed to the runtime's handler, which makes a
// panic of it (shm.CatchFault relies on that): one of the faults that the kernel
// sent, which si_code tells.
var (
	pipeIn  int32 // where the handler writes
	pipeOut int32 // where the signals are read

	//lint:ignore U1000 assembly uses it
	runtimeHandler uintptr // the runtime's handler of faults
)

// faults are the signals that a fault raises, in the thread that has made it.
const faults set = 1<<(unix.SIGILL-1) | 1<<(unix.SIGTRAP-1) | 1<<(unix.SIGBUS-1) |
	1<<(unix.SIGFPE-1) | 1<<(unix.SIGSEGV-1) | 1<<(unix.SIGSYS-1)

// handler returns the addresses of the handler and of its end.
func handler() (note, end uintptr)

// A siginfo is a siginfo_t of 64-bit Linux (sigaction(2)), with the members that a
// signal from a process has.
type siginfo struct {
	signal int32
	errno  int32
	code   int32
	_      int32
	pid    int32
	uid    uint32
	_      [13]uint64
}

// Values of code, from asm-generic/siginfo.h. Those of the kernel are above 0, and
// those of kill(2) and of all other processes are not.
const (
	sentByKill   = 0    // SI_USER
	sentByTkill  = -6   // SI_TKILL
	sentByKernel = 0x80 // SI_KERNEL: not for a child, a fault or a timer; a terminal does it
)

// catchAll catches all signals from now on that can be caught, those excepted that
// were ignored at the start of the process. Some it catches in any case: with SIGCHLD
// ignored, wait(2) gives no status; SIGCONT has to reach a command that has stopped;
// the faults are the runtime's.
func catchAll() error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("cannot catch signals: %w", err)
	}
	pipeOut, pipeIn = int32(fds[0]), int32(fds[1])
	unix.FcntlInt(uintptr(pipeIn), unix.F_SETPIPE_SZ, 1<<20) // may be refused: pipe(7)
	var before sigaction
	setAction(syscall.SIGSEGV, nil, &before)
	runtimeHandler = before.handler

	ignore := sigaction{handler: sigIgnore}
	always := setOf(syscall.SIGCHLD, syscall.SIGCONT) | faults
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		if atEntry.ignored.has(n) && !always.has(n) {
			setAction(n, &ignore, nil)
		} else {
			catch(n)
		}
	}
	unblock()
	return nil
}

func catch(n syscall.Signal) {
	note, end := handler()
	setAction(n, &sigaction{handler: note, flags: saSiginfo | saOnStack | saRestart | saRestorer, restorer: end, mask: ^uint64(0)}, nil)
}

// unblock lets this thread take signals. (All threads take those which the runtime
// unblocks; the others are blocked in all threads but this one if enter has blocked them.)
func unblock() {
	var none set
	setMask(unix.SIG_SETMASK, &none, nil)
}

// pending returns the signals that are blocked and pending.
func pending() (signals set) {
	unix.RawSyscall(unix.SYS_RT_SIGPENDING, uintptr(unsafe.Pointer(&signals)), unsafe.Sizeof(signals), 0)
	return signals
}

// caught returns the next signals that were caught.
func caught(buffer *[4]siginfo) []siginfo {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(pipeOut), uintptr(unsafe.Pointer(buffer)), unsafe.Sizeof(*buffer))
	if errno != 0 { // EAGAIN: there is none
		return nil
	}
	return buffer[:n/unsafe.Sizeof(siginfo{})]
}

// sleep returns when there is something that caught will return, or at a moment (the
// zero time: never). It may also return for no reason.
func sleep(until time.Time) {
	timeout := -1
	if !until.IsZero() {
		timeout = max(0, int(time.Until(until).Milliseconds())+1)
	}
	unix.Poll([]unix.PollFd{{Fd: pipeOut, Events: unix.POLLIN}}, timeout)
}

// wake ends a sleep, with a signal 0.
func wake() { new(siginfo).giveBack() }

// giveBack makes the signal one that was caught and that nobody has looked at.
func (i *siginfo) giveBack() {
	unix.RawSyscall(unix.SYS_WRITE, uintptr(pipeIn), uintptr(unsafe.Pointer(i)), unsafe.Sizeof(*i))
}

// send sends a signal to a process, or to a group where pid is negative: like the one
// that was caught, with its value if it was queued with one.
func (i *siginfo) send(pid int) error {
	if i.code < 0 && i.code != sentByTkill && pid > 0 {
		_, _, errno := unix.RawSyscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(i.signal), uintptr(unsafe.Pointer(i)))
		if errno != unix.EAGAIN { // too many are queued (RLIMIT_SIGPENDING)
			return asError(errno)
		}
	}
	return unix.Kill(pid, syscall.Signal(i.signal))
}

// isOwn reports whether this process has sent the signal itself: a SIGPIPE or SIGXFSZ
// of its own write, or the SIGURG by which the runtime interrupts a goroutine.
func (i *siginfo) isOwn() bool { return i.code <= 0 && int(i.pid) == os.Getpid() }

func asError(errno syscall.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

// Flags of sigaction(2), from asm/signal.h.
const (
	saSiginfo  = 0x00000004
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

func setMask(how uintptr, new, old *set) {
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, how,
		uintptr(unsafe.Pointer(new)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
}
