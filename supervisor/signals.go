package supervisor

import (
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/poolrun/poolrun/internal/bare"
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
	var buffer [16]byte
	text := bare.In(buffer[:])
	AddSignalName(&text, n)
	return text.String()
}

// AddSignalName is SignalName in bare Go.
func AddSignalName(text *bare.Text, n syscall.Signal) {
	switch {
	case n > 0 && int(n) < len(signalNames):
		text.Add("SIG")
		text.Add(signalNames[n])
	case n >= firstRealTime && n <= lastSignal:
		text.Add("SIGRTMIN+")
		text.AddNumber(uint64(n-firstRealTime), 10)
	default:
		text.Add("signal ")
		text.AddNumber(uint64(n), 10)
	}
}

// signalNames are the names of signal(7).
var signalNames = [...]string{
	1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 10: "USR1", 11: "SEGV",
	12: "USR2", 13: "PIPE", 14: "ALRM", 15: "TERM", 16: "STKFLT", 17: "CHLD", 18: "CONT", 19: "STOP", 20: "TSTP", 21: "TTIN",
	22: "TTOU", 23: "URG", 24: "XCPU", 25: "XFSZ", 26: "VTALRM", 27: "PROF", 28: "WINCH", 29: "IO", 30: "PWR", 31: "SYS",
}

// Signals are the signals that this process catches. A signal stays in a queue until one of the
// methods takes it: [Signals.ApplyDefaults], [Signals.Context], [Signals.Run], [Signals.Become] or
// [Signals.RestoreDefaults]. A process has one Signals, because signal handlers belong to the
// process.
type Signals struct {
	queue queue

	mutex     sync.Mutex
	consumer  func(siginfo, effect) // called for each signal; nil: signals stay in the queue
	consuming bool                  // the goroutine that calls consumer runs
	kept      siginfos              // signals of effectKept, which will be pending in the command
}

var catchOnce = sync.OnceValues(func() (*Signals, error) {
	s := &Signals{kept: atEntry.pending}
	if err := s.queue.open(); err != nil {
		return s, err
	}
	catchAll()
	return s, nil
})

// Catch starts to catch all signals that can be caught, and returns the same Signals at every call.
// A signal that was ignored when the process started stays ignored, here and in the command. An
// error says that no signal is caught.
func Catch() (*Signals, error) { return catchOnce() }

// The entry point has blocked all signals, so they are caught as early as possible.
func init() {
	if atEntry.entered {
		Catch()
	}
}

// Interrupted is the error for work that a signal has ended.
type Interrupted struct{ Signal syscall.Signal }

func (i Interrupted) Error() string { return "interrupted by " + SignalName(i.Signal) }

// ApplyDefaults applies the default action of each signal to this process, and so lets a signal
// stop or end it at any moment, until Hold, Context or Run is called. It suits work that leaves
// nothing to clean up.
//
// A shell without job control ignores SIGQUIT for its background commands, so that Ctrl-\ does not
// reach them (POSIX, "Asynchronous AND-OR Lists"). A SIGQUIT that another process sends ends this
// process nevertheless.
func (s *Signals) ApplyDefaults() {
	catch(syscall.SIGQUIT)
	s.consume(func(i siginfo, e effect) {
		n := i.number()
		switch {
		case e == effectStop:
			s.suspend(i)
		case e == effectDeath, n == syscall.SIGQUIT && i.code == codeKill && !i.isOwn():
			ExitBySignal(n)
		}
	})
}

// Hold leaves the signals that arrive from now on in the queue. It does not wait for the goroutine
// that takes them to end, because that costs two switches between threads just before a command can
// start.
func (s *Signals) Hold() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.consumer = nil
	if s.consuming {
		s.queue.put(siginfo{}) // wakes the goroutine
	}
}

// RestoreDefaults gives signals their default actions back, and applies these to the signals in the
// queue, one of which may end this process. It suits a process that has finished its work and has
// cleaned up. Signals that were ignored at the start stay ignored. Nothing is caught afterwards.
func (s *Signals) RestoreDefaults() {
	s.Hold()
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		if !atEntry.ignored.has(n) {
			setAction(n, &sigaction{}, nil)
		}
	}
	if n := s.takeQueued(); n != 0 {
		ExitBySignal(n)
	}
}

// takeQueued is beforeCommand for the queue of these Signals.
func (s *Signals) takeQueued() syscall.Signal {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.queue.beforeCommand(&s.kept)
}

// consume makes a goroutine take signals out of the queue and call consumer for each. It replaces
// the consumer before. The consumer runs under s.mutex.
func (s *Signals) consume(consumer func(siginfo, effect)) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.consumer = consumer
	if !s.consuming {
		s.consuming = true
		go func() {
			for s.consumeQueued() {
				s.queue.wait(time.Time{})
			}
		}()
	}
}

// consumeQueued takes the signals that are in the queue. It returns false if there is no consumer
// any more; the goroutine then ends.
func (s *Signals) consumeQueued() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.consumer == nil {
		s.consuming = false
		return false
	}
	s.drain()
	return true
}

// drain calls the consumer for each signal in the queue, under the mutex.
func (s *Signals) drain() {
	var i siginfo
	for {
		e, ok := s.queue.takeEffect(&i, &s.kept)
		if !ok {
			return
		}
		s.consumer(i, e)
	}
}

// suspend stops this process by a stop signal, unless another signal is in the queue: then the stop
// signal goes back into the queue. It runs under the mutex.
func (s *Signals) suspend(i siginfo) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if !s.queue.suspend(i.number()) {
		s.queue.stop = i
	}
}

// beforeCommand takes the signals in the queue, and returns the first of them which means that the
// command is not wanted any more, or 0. It is bare Go.
func (q *queue) beforeCommand(kept *siginfos) syscall.Signal {
	var i siginfo
	for {
		e, ok := q.takeEffect(&i, kept)
		switch {
		case !ok:
			return 0
		case e == effectStop && !q.suspend(i.number()):
			q.stop = i
		case e == effectDeath:
			return i.number()
		}
	}
}
