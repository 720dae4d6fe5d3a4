package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"
)

var (
	// harmless signals do nothing by default, signal(7).
	harmless = setOf(syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH)
	// stops stop a process by default.
	stops = setOf(syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
)

// Signals are the signals that a process catches, for its command or for itself.
// There is one per process.
type Signals struct {
	mutex     sync.Mutex
	to        func(siginfo) // what becomes of caught signals; nil: they are left where they are
	listening bool          // there is a goroutine that calls to
	kept      []siginfo     // for the command, to be pending: they were blocked when the process started
}

var catchOnce = sync.OnceValues(func() (*Signals, error) {
	s := &Signals{kept: slices.Clone(pendingAtEntry.signals[:pendingAtEntry.length])}
	return s, catchAll()
})

// Catch starts to catch signals. Those that were ignored when the process started
// stay ignored, here and in the command. What is caught is kept until Obey, Default,
// Context or Run makes something of it.
func Catch() (*Signals, error) { return catchOnce() }

// As early as can be, see enter.
func init() {
	if atEntry.entered {
		Catch()
	}
}

// An effect is what a signal does to a process that does nothing about it.
type effect int

const (
	none effect = iota
	kept        // it was blocked at the start: pending, for the command to find so
	stop
	death
)

// effectOf says what a caught signal would do to this process if nobody caught it.
func effectOf(i siginfo) effect {
	n := syscall.Signal(i.signal)
	switch {
	case n == 0 || i.isOwn() || atEntry.ignored.has(n):
		return none
	case n == syscall.SIGCHLD && i.code > 0: // a child of this process's
		return none
	case atEntry.blocked.has(n):
		return kept
	case harmless.has(n):
		return none
	case stops.has(n):
		return stop
	}
	return death
}

// Obey makes signals do what they do by default, until Keep, Context or Run is called:
// for one that has nothing to put in order before it dies.
//
// A shell without job control ignores SIGQUIT for its background commands, to keep the
// terminal's Ctrl-\ from them (POSIX, "Asynchronous AND-OR Lists"). One that somebody
// sends on purpose is obeyed all the same.
func (s *Signals) Obey() {
	catch(syscall.SIGQUIT)
	s.listen(func(i siginfo) {
		n := syscall.Signal(i.signal)
		switch effect := effectOf(i); {
		case effect == stop:
			Stop(n)
		case effect == death, n == syscall.SIGQUIT && i.code == sentByKill && !i.isOwn():
			Die(n)
		}
	})
}

// listen makes a goroutine that calls to for all signals that are caught, in place of
// what was called before.
func (s *Signals) listen(to func(siginfo)) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.to = to
	if !s.listening {
		s.listening = true
		go s.distribute()
	}
}

// Keep makes the signals that come from now on stay where they are. It does not wait for
// the goroutine to end, which would take two switches between threads, at a moment at
// which a command can start.
func (s *Signals) Keep() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.to = nil
	if s.listening {
		wake()
	}
}

func (s *Signals) distribute() {
	for s.distributeOnce() {
		sleep(time.Time{})
	}
}

func (s *Signals) distributeOnce() (goOn bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var buffer [4]siginfo
	for s.to != nil {
		signals := caught(&buffer)
		if len(signals) == 0 {
			return true
		}
		for _, i := range signals {
			if s.to == nil || effectOf(i) == kept {
				s.kept = append(s.kept, i)
			} else {
				s.to(i)
			}
		}
	}
	s.listening = false
	return false
}

// Interrupted is the cause of a context that a signal has ended.
type Interrupted struct{ Signal syscall.Signal }

func (i Interrupted) Error() string { return fmt.Sprintf("interrupted by %v", i.Signal) }

// Context returns a context that ends at the deadline (the zero time: none), or with
// the first signal that kills a process by default: its cause is then an Interrupted.
// Where nobody has called stop a second after that, the process is stuck in something
// that knows no context, and dies at once. A signal that stops a process does so in a
// call of pause, which is to see to it that the process can be stopped (nil: at any
// moment), and changes nothing else. After stop, signals are kept for the command.
//
// It listens for signals only once somebody waits for it (Done): a wait that does not
// come about costs nothing.
func (s *Signals) Context(deadline time.Time, pause func(stop func())) (ctx context.Context, stop func()) {
	if pause == nil {
		pause = func(stop func()) { stop() }
	}
	parent, cancel := context.WithCancelCause(context.Background())
	l := &listener{Context: parent, cancel: cancel, signals: s, deadline: deadline, pause: pause}
	return l, sync.OnceFunc(l.stop)
}

// A listener is a context that signals end.
type listener struct {
	context.Context
	cancel   context.CancelCauseFunc
	signals  *Signals
	deadline time.Time
	pause    func(stop func())
	listens  sync.Once
	timers   []*time.Timer
	stopped  bool // stop was called
	goesOn   int  // how often SIGCONT came
}

func (l *listener) Deadline() (time.Time, bool) { return l.deadline, !l.deadline.IsZero() }

func (l *listener) Err() error {
	if errors.Is(context.Cause(l.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return l.Context.Err()
}

func (l *listener) Done() <-chan struct{} {
	l.listens.Do(func() {
		if !l.deadline.IsZero() {
			l.timers = append(l.timers, time.AfterFunc(time.Until(l.deadline), func() { l.cancel(context.DeadlineExceeded) }))
		}
		l.signals.listen(l.take)
	})
	return l.Context.Done()
}

// take is called under the mutex of the signals.
func (l *listener) take(i siginfo) {
	n := syscall.Signal(i.signal)
	if n == syscall.SIGCONT {
		l.goesOn++
	}
	switch effectOf(i) {
	case stop:
		before := l.goesOn
		// Not here: whoever pause waits for may be stuck, and then a deadly signal is
		// to be noticed.
		go l.pause(func() {
			l.signals.mutex.Lock()
			defer l.signals.mutex.Unlock()
			switch {
			case l.goesOn != before:
				// A SIGCONT that came in the meantime has undone the stop, as in the kernel
				// (prepare_signal in kernel/signal.c).
			case l.stopped: // the wait is over: it is the command's, which has not got it
				i.code = sentByKill
				i.giveBack()
			default:
				Stop(n)
			}
		})
	case death:
		if l.Context.Err() == nil {
			l.cancel(Interrupted{n})
			l.timers = append(l.timers, time.AfterFunc(patience, func() { Die(n) }))
		}
	}
}

// How long an interrupted process may take to leave the line in form.
const patience = time.Second

func (l *listener) stop() {
	l.signals.Keep()
	l.signals.mutex.Lock()
	l.stopped = true
	for _, timer := range l.timers {
		timer.Stop()
	}
	l.signals.mutex.Unlock()
	l.cancel(nil)
}

// Default makes signals do to this process what they do by default, also those that
// were caught and that nobody has looked at: for one that has put everything in order.
func (s *Signals) Default() {
	s.Keep()
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		if !atEntry.ignored.has(n) {
			setAction(n, &sigaction{}, nil)
		}
	}
	var buffer [4]siginfo
	for signals := caught(&buffer); len(signals) > 0; signals = caught(&buffer) {
		for _, i := range signals {
			if effectOf(i) == death {
				Die(syscall.Signal(i.signal))
			}
		}
	}
}
