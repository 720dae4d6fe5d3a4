package supervisor

import (
	"sync/atomic"
	"syscall"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// A Direct runs a command before the Go runtime has started, as Signals does afterwards. Its methods
// are bare Go. There is one of them in a process.
//
// All signals stay blocked from the entry point on, and the kernel keeps them until the command has
// them passed on: see queue. There are two exceptions, for which Begin installs a handler:
//
//   - The signals of a memory fault are unblocked except while the command runs, because the
//     kernel kills a process for a fault whose signal is blocked, without a word. While the
//     command runs, this process touches no shared memory.
//   - The child that becomes the command unblocks the signals that stop a process. If such a
//     signal stopped it before it execs, this process would hang in vfork(2).
type Direct struct {
	queue queue
	run   supervision
}

// direct is the Direct of this process, for its handler.
var direct struct {
	queue *queue
	fault func(syscall.Signal)
}

// memoryFaults are the signals of a fault in mapped memory.
const memoryFaults signalSet = 1<<(unix.SIGBUS-1) | 1<<(unix.SIGSEGV-1)

// Begin prepares the process. fault is called for a memory fault, and must not return.
func (d *Direct) Begin(fault func(syscall.Signal)) {
	d.queue.isKernels = true
	direct.queue, direct.fault = &d.queue, fault
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		if (memoryFaults | stopSignals).has(n) && !atEntry.ignored.has(n) {
			action := sigaction{handler: directHandler, flags: saSiginfo | saRestorer, restorer: directRestorer, mask: ^uint64(0)}
			setAction(n, &action, nil)
		}
	}
	catchFaults(true)
}

// These are addresses of code in bare_linux_*.s. The entry point sets them.
var directHandler, directRestorer uintptr

// catchFaults unblocks the signals of a memory fault, or blocks them again.
func catchFaults(catch bool) {
	faults := memoryFaults
	if catch {
		setMask(unix.SIG_UNBLOCK, &faults, nil)
	} else {
		setMask(unix.SIG_BLOCK, &faults, nil)
	}
}

// Leave is for a process that leaves its work to the Go runtime.
func (d *Direct) Leave() {
	catchFaults(false)
	if i := &d.queue.next; i.signal != 0 { // it is blocked, and keeps its sender
		bare.Sys(unix.SYS_RT_SIGQUEUEINFO, uintptr(ownPID()), uintptr(i.signal), bare.Pointer(i), 0)
	}
}

// onDirectSignal is what the handler calls. A signal that a process has sent is put back, in front
// of those that the kernel keeps.
func onDirectSignal(n syscall.Signal, info *siginfo) {
	if info.code > 0 && memoryFaults.has(n) {
		direct.fault(n)
	}
	if direct.queue.next.signal == 0 {
		direct.queue.next = *info
	}
}

// handleDirect lets the handler call onDirectSignal.
//
//lint:ignore U1000 assembly uses it
var handleDirect = onDirectSignal

// IsQuiet reports whether no signal has arrived that has to have its effect before a command runs.
func (d *Direct) IsQuiet() bool {
	return d.queue.next.signal == 0 && blockedPending()&^atEntry.ignored&^harmlessSignals == 0
}

// LookPath finds the file of a command, as the function LookPath does. The result is the beginning
// of memory, and nil for every error, and for a file that only execve(2) can judge.
func (d *Direct) LookPath(name, dirs string, memory []byte) (path *byte) {
	s := search{memory: memory}
	if len(memory) < searchMemory || s.find(name, dirs) != 0 || s.isPlain {
		return nil
	}
	return s.path()
}

// BeforeCommand returns the deadly signal that has arrived, if any. It stops this process for a
// signal that does that.
func (d *Direct) BeforeCommand() syscall.Signal {
	return d.queue.beforeCommand(&atEntry.pending) // in which none is: no signal was blocked at the start
}

// Start starts the command. place and inherit are as in Command; -1 stands for no descriptor. It
// returns false if there is no command.
func (d *Direct) Start(path *byte, argv, environ **byte, inherit int, place *atomic.Int32) bool {
	s := spawned{path: path, argv: argv, envp: environ, pending: &atEntry.pending, handled: memoryFaults}
	fds := [1]int{inherit}
	if inherit >= 0 {
		s.inherit = fds[:]
	}
	catchFaults(false)
	pid := spawn(&s, place)
	if pid < 0 || s.errno != 0 {
		catchFaults(true)
		return false
	}
	d.run = supervision{queue: &d.queue, pid: pid}
	d.run.begin()
	return true
}

// Become executes the command in this process, and returns only if that fails. Then all signals are
// blocked, as Leave wants it.
func (d *Direct) Become(path *byte, argv, environ **byte, inherit int) {
	removeHandlers()
	s := spawned{path: path, argv: argv, envp: environ, pending: &atEntry.pending}
	fds := [1]int{inherit}
	if inherit >= 0 {
		s.inherit = fds[:]
	}
	s.exec()
	every := ^signalSet(0)
	setMask(unix.SIG_SETMASK, &every, nil)
}

// Step does all that there is to do for the command, and reports whether it has ended. refused are
// the signals that this user may not send to the command, as bits.
func (d *Direct) Step() (status Status, ended bool, refused uint64) {
	wait, ended := d.run.step()
	if ended {
		catchFaults(true)
	}
	return Status{wait: wait}, ended, uint64(d.run.refused)
}

// PID is the command's pid.
func (d *Direct) PID() int { return d.run.pid }

// Wait waits for a signal for so many nanoseconds at most. 0 stands for no limit.
func (d *Direct) Wait(limit int64) {
	timeout := unix.Timespec{Sec: limit / 1e9, Nsec: limit % 1e9}
	bound := &timeout
	if limit == 0 {
		bound = nil
	}
	takeBlocked(^signalSet(0), &d.queue.next, bound)
}

// ExitBySignal is the function ExitBySignal.
func (d *Direct) ExitBySignal(n syscall.Signal) { exitBySignal(n) }

// Exit ends the process.
func (d *Direct) Exit(code int) {
	for {
		bare.Sys(unix.SYS_EXIT_GROUP, uintptr(code), 0, 0, 0)
	}
}

// End lets all signals have their default effect on this process from now on. It suits a process
// that has finished its work and has a message to write, which can block.
func (d *Direct) End() {
	removeHandlers()
	var none signalSet
	setMask(unix.SIG_SETMASK, &none, nil)
}

// removeHandlers removes the handlers that Begin has installed.
func removeHandlers() {
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		if (memoryFaults | stopSignals).has(n) && !atEntry.ignored.has(n) {
			setAction(n, &sigaction{}, nil)
		}
	}
}
