package supervisor

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"syscall"
	"time"
)

var (
	// deadly signals end a process that does nothing about them. While there is no
	// command yet they end the wait for it; later they are the command's.
	deadly = setOf(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGABRT)
	// harmless signals are only for the command.
	harmless = setOf(syscall.SIGWINCH, syscall.SIGCONT)
	stops    = setOf(syscall.SIGTSTP)
)

// Signals are the signals that a process catches for its command. There is one
// per process.
type Signals struct{}

// Catch starts to catch signals, those that were ignored at the start of the
// process excepted: they stay ignored, here and in the command. SIGTSTP is caught
// only after CatchStops; before, it stops the process as it should. Call it once,
// before anything that a signal may interrupt.
func Catch() (*Signals, error) {
	restoreIgnored()
	if err := openWakeUps(); err != nil {
		return nil, fmt.Errorf("cannot catch signals: %w", err)
	}
	s := &Signals{}
	s.catch(deadly | harmless)
	return s, nil
}

// CatchStops starts to catch SIGTSTP too: for one that has something to do before
// it stops. It does not stop then unless Stop is called, or Run sees its command
// stopped.
func (s *Signals) CatchStops() { s.catch(stops) }

func (s *Signals) catch(signals set) {
	for n := range signals.each {
		if !ignoredAtStart(n) {
			catch(n)
		}
	}
}

// Stop stops this process as an uncaught SIGTSTP would, and returns when it goes
// on.
func Stop() {
	if !ignoredAtStart(syscall.SIGTSTP) {
		raiseByDefault(syscall.SIGTSTP)
	}
}

// Interrupted is the cause of a context that a signal has ended.
type Interrupted struct{ Signal syscall.Signal }

func (i Interrupted) Error() string { return fmt.Sprintf("interrupted by %v", i.Signal) }

// interruption takes a signal that ends a wait, if one was caught.
func interruption() error {
	if caught := take(deadly | stops); caught != 0 {
		return Interrupted{syscall.Signal(bits.TrailingZeros64(uint64(caught)) + 1)}
	}
	return nil
}

// Context returns a context that ends at the deadline (the zero time: none), or
// with the first deadly signal, or SIGTSTP where that is caught: its cause is then
// an Interrupted. Where nobody has called stop a second after a deadly one, the
// process is stuck in something that knows no context, and dies at once. After
// stop, which must be called before Run, signals are kept for the command.
//
// It listens for signals only once somebody waits for it (Done): a wait that does
// not come about costs nothing.
func (s *Signals) Context(deadline time.Time) (ctx context.Context, stop func()) {
	parent, cancel := context.WithCancelCause(context.Background())
	l := &listener{Context: parent, cancel: cancel, deadline: deadline, stopped: make(chan struct{})}
	return l, sync.OnceFunc(l.stop)
}

// A listener is a context that signals end.
type listener struct {
	context.Context
	cancel   context.CancelCauseFunc
	deadline time.Time
	listens  sync.Once
	timer    *time.Timer

	mutex   sync.Mutex
	stopped chan struct{} // closed by stop, under the mutex: from then on no signal is taken
}

func (l *listener) Deadline() (time.Time, bool) { return l.deadline, !l.deadline.IsZero() }

func (l *listener) Err() error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.Context.Err() == nil && !l.isStopped() {
		if err := interruption(); err != nil {
			l.cancel(err)
		} else if !l.deadline.IsZero() && !time.Now().Before(l.deadline) {
			l.cancel(context.DeadlineExceeded)
		}
	}
	if errors.Is(context.Cause(l.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return l.Context.Err()
}

func (l *listener) Done() <-chan struct{} {
	l.listens.Do(func() {
		if !l.deadline.IsZero() {
			l.timer = time.AfterFunc(time.Until(l.deadline), func() { l.cancel(context.DeadlineExceeded) })
		}
		go l.listen()
	})
	return l.Context.Done()
}

func (l *listener) listen() {
	for !l.isStopped() {
		l.Err()
		var interrupted Interrupted
		if errors.As(context.Cause(l.Context), &interrupted) {
			select {
			case <-l.stopped:
			case <-time.After(patience):
				if deadly.has(interrupted.Signal) {
					Die(interrupted.Signal)
				}
			}
			return
		}
		sleep()
	}
	wake() // whoever sleeps now: the last wake-up may have been for that one
}

func (l *listener) isStopped() bool {
	select {
	case <-l.stopped:
		return true
	default:
		return false
	}
}

// stop does not wait for listen to end, which would take two switches between
// threads, at a moment at which a command can start.
func (l *listener) stop() {
	l.mutex.Lock()
	close(l.stopped)
	l.mutex.Unlock()
	began := true
	l.listens.Do(func() { began = false })
	if began {
		if l.timer != nil {
			l.timer.Stop()
		}
		wake()
	}
	l.cancel(nil)
}

// How long an interrupted process may take to leave the line in form.
const patience = time.Second
