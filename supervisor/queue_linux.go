package supervisor

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// A queue holds the signals that have arrived and were not taken yet. It is one of two things.
//
// In a process with a Go runtime it is a pipe. The handler in bare_linux_*.s writes the siginfo of
// each signal into it, which is all that is safe in a handler (signal-safety(7)). A real-time signal
// is in the queue as often as it arrived. If the pipe is full, further signals are lost, as they are
// in the kernel when RLIMIT_SIGPENDING is reached.
//
// Before the runtime has started, all signals are blocked, and the queue is the kernel's own: see
// Direct.
//
// Package os/signal would not do: it does not report the sender of a signal, and it runs a thread
// of its own.
type queue struct {
	out int32 // the end of the pipe to read from

	isKernels bool    // the queue is the kernel's own
	next      siginfo // unless its number is 0, the signal that comes before all others
	stop      siginfo // unless its number is 0, a stop signal that has had no effect yet
}

// These two are the handler's.
var (
	pipeIn int32 // the end of the queue that the handler writes to

	// runtimeHandler is the Go runtime's handler. It gets the faults of this program that the
	// kernel reports, and turns them into panics.
	//
	//lint:ignore U1000 assembly uses it
	runtimeHandler uintptr
)

// faultSignals are the signals that a fault raises, in the thread that caused it.
const faultSignals signalSet = 1<<(unix.SIGILL-1) | 1<<(unix.SIGTRAP-1) | 1<<(unix.SIGBUS-1) |
	1<<(unix.SIGFPE-1) | 1<<(unix.SIGSEGV-1) | 1<<(unix.SIGSYS-1)

// handler returns the address of the handler, and of the code that ends it.
func handler() (note, end uintptr)

// open creates the pipe.
func (q *queue) open() error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("cannot catch signals: %w", err)
	}
	q.out, pipeIn = int32(fds[0]), int32(fds[1])
	unix.FcntlInt(uintptr(pipeIn), unix.F_SETPIPE_SZ, 1<<20) // a failure is no harm, pipe(7)
	return nil
}

// take takes the next signal out of the queue. It reports false if there is none. It is bare Go.
func (q *queue) take(i *siginfo) bool {
	if q.next.signal != 0 {
		*i, q.next = q.next, siginfo{}
		return true
	}
	if q.isKernels {
		return takeBlocked(^signalSet(0), i, &unix.Timespec{})
	}
	return bare.Sys(unix.SYS_READ, uintptr(q.out), bare.Pointer(i), unsafe.Sizeof(*i), 0) == int(unsafe.Sizeof(*i))
}

// takeEffect takes the next signal out of the queue that has, or may have, an effect on this process
// now. Those of effectKept it adds to kept. It reports false if there is none. It is bare Go.
//
// A stop signal comes last, and not at all if a SIGCONT comes after it, because that discards it
// (prepare_signal in kernel/signal.c): otherwise nothing would continue this process.
func (q *queue) takeEffect(i *siginfo, kept *siginfos) (e effect, ok bool) {
	for q.take(i) {
		switch e = effectOf(i); {
		case e == effectKept:
			kept.add(*i)
		case e == effectStop:
			q.stop = *i
		default:
			if i.number() == syscall.SIGCONT {
				q.stop = siginfo{}
			}
			return e, true
		}
	}
	*i, q.stop = q.stop, siginfo{}
	return effectStop, i.signal != 0
}

// takeBlocked is bare Go. It takes one of these signals, which are blocked. If none is pending, it
// waits for one until the timeout; nil stands for no limit.
func takeBlocked(from signalSet, i *siginfo, timeout *unix.Timespec) bool {
	return bare.Sys(unix.SYS_RT_SIGTIMEDWAIT, bare.Pointer(&from), bare.Pointer(i), bare.Pointer(timeout), 8) > 0
}

// put appends a signal to the queue. A signal 0, which no process can send, only makes wait return.
func (q *queue) put(i siginfo) {
	unix.RawSyscall(unix.SYS_WRITE, uintptr(pipeIn), uintptr(unsafe.Pointer(&i)), unsafe.Sizeof(i))
}

// wait blocks until the queue has a signal, or until a point in time; the zero time stands for
// none. It can also return early.
func (q *queue) wait(until time.Time) {
	timeout := -1
	if !until.IsZero() {
		timeout = max(0, int(time.Until(until).Milliseconds())+1)
	}
	unix.Poll([]unix.PollFd{{Fd: q.out, Events: unix.POLLIN}}, timeout)
}

// catchAll installs the handler for all signals that can be caught, and unblocks them. Signals that
// were ignored when the process started stay ignored, with some exceptions: wait(2) reports no
// status while SIGCHLD is ignored, SIGCONT has to reach a command that has stopped, and the faults
// are the runtime's.
func catchAll() {
	var before sigaction
	setAction(syscall.SIGSEGV, nil, &before)
	runtimeHandler = before.handler

	ignore := sigaction{handler: sigIgnore}
	always := setOf(syscall.SIGCHLD, syscall.SIGCONT) | faultSignals
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		if atEntry.ignored.has(n) && !always.has(n) {
			setAction(n, &ignore, nil)
		} else {
			catch(n)
		}
	}
	// This thread takes signals from now on. The other threads take only those that the runtime
	// unblocks, since enter has blocked all.
	var none signalSet
	setMask(unix.SIG_SETMASK, &none, nil)
}

func catch(n syscall.Signal) {
	note, end := handler()
	setAction(n, &sigaction{handler: note, flags: saSiginfo | saOnStack | saRestart | saRestorer, restorer: end, mask: ^uint64(0)}, nil)
}

// A siginfo is a siginfo_t of 64-bit Linux, with the members of a signal that a process sends
// (sigaction(2)).
type siginfo struct {
	signal int32
	errno  int32
	code   int32
	_      int32
	pid    int32
	uid    uint32
	_      [13]uint64
}

// Values of code, from asm-generic/siginfo.h. The kernel's own are positive, and those of signals
// that processes send are not.
const (
	codeKill   = 0    // SI_USER: kill(2)
	codeTkill  = -6   // SI_TKILL: tkill(2)
	codeKernel = 0x80 // SI_KERNEL: a terminal, for example, but no child, fault or timer
)

func (i *siginfo) number() syscall.Signal { return syscall.Signal(i.signal) }

// isOwn reports whether this process has sent the signal itself. Examples are SIGPIPE for a write
// of its own, and the SIGURG by which the runtime interrupts a goroutine.
func (i *siginfo) isOwn() bool { return i.code <= 0 && int(i.pid) == ownPID() }

// isAboutChild reports whether the signal tells this process about a child of its own.
func (i *siginfo) isAboutChild() bool { return i.number() == syscall.SIGCHLD && i.code > 0 }

// ownPID is getpid(2).
func ownPID() int { return bare.Sys(unix.SYS_GETPID, 0, 0, 0, 0) }

// send sends the signal to a process, or to a process group if pid is negative. A signal that was
// queued with a value (sigqueue(3)) is sent with that value. It is bare Go.
func (i *siginfo) send(pid int) syscall.Errno {
	if i.code < 0 && i.code != codeTkill && pid > 0 {
		errno := bare.Errno(bare.Sys(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(i.signal), bare.Pointer(i), 0))
		if errno != unix.EAGAIN { // RLIMIT_SIGPENDING is reached; kill(2) needs no place in the queue
			return errno
		}
	}
	return bare.Errno(bare.Sys(unix.SYS_KILL, uintptr(pid), uintptr(i.signal), 0, 0))
}

// blockedPending returns the signals that are pending for this thread because it blocks them.
func blockedPending() (signals signalSet) {
	bare.Sys(unix.SYS_RT_SIGPENDING, bare.Pointer(&signals), unsafe.Sizeof(signals), 0, 0)
	return signals
}

const sigIgnore = 1 // SIG_IGN

// Flags of sigaction(2), from asm/signal.h.
const (
	saSiginfo  = 0x00000004
	saRestorer = 0x04000000
	saOnStack  = 0x08000000 // the stacks of Go's threads are small
	saRestart  = 0x10000000
)

// sigaction is struct kernel_sigaction of 64-bit Linux.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

func setAction(n syscall.Signal, new, old *sigaction) {
	bare.Sys(unix.SYS_RT_SIGACTION, uintptr(n), bare.Pointer(new), bare.Pointer(old), 8)
}

func setMask(how uintptr, new, old *signalSet) {
	bare.Sys(unix.SYS_RT_SIGPROCMASK, how, bare.Pointer(new), bare.Pointer(old), 8)
}

// siginfos are signals that will be pending in the command. What does not fit is lost.
type siginfos struct {
	count int
	list  [32]siginfo
}

func (s *siginfos) add(i siginfo) {
	if uint(s.count) < uint(len(s.list)) {
		s.list[s.count] = i
		s.count++
	}
}
