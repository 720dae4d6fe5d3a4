package supervisor

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"
)

// deadly signals end a process that does nothing about them. While there is no
// command yet they end the wait for it; later they are the command's.
var deadly = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGABRT,
}

// harmless signals are only for the command.
var harmless = []os.Signal{syscall.SIGWINCH, syscall.SIGCONT}

// Signals are the signals that a process catches for its command.
type Signals struct{ caught chan os.Signal }

// Catch starts to catch signals, those that were ignored at the start of the
// process excepted: they stay ignored, here and in the command. SIGTSTP is caught
// only after CatchStops; before, it stops the process as it should. Call it once,
// before anything that a signal may interrupt.
func Catch() *Signals {
	restoreIgnored()
	s := &Signals{make(chan os.Signal, 64)}
	s.notify(deadly)
	s.notify(harmless)
	return s
}

// CatchStops starts to catch SIGTSTP too: for one that has something to do before
// it stops. It does not stop then unless Stop is called, or Run sees its command
// stopped.
func (s *Signals) CatchStops() { s.notify([]os.Signal{syscall.SIGTSTP}) }

// Stop stops this process as an uncaught SIGTSTP would, and returns when it goes
// on.
func Stop() {
	if !ignoredAtStart(syscall.SIGTSTP) {
		raiseByDefault(syscall.SIGTSTP)
	}
}

func (s *Signals) notify(list []os.Signal) {
	for _, n := range list {
		if !ignoredAtStart(n.(syscall.Signal)) {
			signal.Notify(s.caught, n)
		}
	}
}

// Interrupted is the cause of a context that a signal has ended.
type Interrupted struct{ Signal syscall.Signal }

func (i Interrupted) Error() string { return fmt.Sprintf("interrupted by %v", i.Signal) }

// Context returns a context that ends with the first deadly signal, or SIGTSTP
// where that is caught: its cause is then an Interrupted. Where nobody has called stop a second after a deadly one,
// the process is stuck in something that knows no context, and dies at once. After stop, which must be called before Run, signals are
// kept for the command.
func (s *Signals) Context(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case n := <-s.caught:
				if n == syscall.SIGTSTP {
					cancel(Interrupted{syscall.SIGTSTP})
					return
				}
				if slices.Contains(deadly, n) {
					cancel(Interrupted{n.(syscall.Signal)})
					select {
					case <-quit:
					case <-time.After(patience):
						Die(n.(syscall.Signal))
					}
					return
				}
			case <-quit:
				return
			}
		}
	}()
	return ctx, sync.OnceFunc(func() {
		close(quit)
		<-ended
	})
}

// How long an interrupted process may take to leave the line in form.
const patience = time.Second
