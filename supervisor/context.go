package supervisor

import (
	"context"
	"sync"
	"syscall"
	"time"
)

// Context returns a context that ends at a deadline, or with the first signal whose default action
// ends a process. The zero time stands for no deadline. [context.Cause] returns an [Interrupted] if
// a signal has ended it.
//
// The context takes signals out of the queue from the first call of Done until end is called. Err
// takes none, so a loop that only polls Err is not interrupted. The caller has to call end. After
// that, signals stay in the queue, for Run, and the cause does not change any more: a caller that goes
// on to Run has to look at it then, or a signal could be lost. If end is not called within one second
// of a deadly signal, the process is stuck in a call that does not obey the context, and the signal
// ends it.
//
// A signal that stops a process by default is handed to suspend, which has to call its argument at
// a moment at which this process may be stopped. A nil suspend stands for any moment. Such a signal
// does not end the context.
func (s *Signals) Context(deadline time.Time, suspend func(stop func())) (ctx context.Context, end func()) {
	if suspend == nil {
		suspend = func(stop func()) { stop() }
	}
	parent, release := context.Background(), func() {}
	if !deadline.IsZero() {
		parent, release = context.WithDeadline(parent, deadline)
	}
	parent, cancel := context.WithCancelCause(parent)
	c := &signalContext{Context: parent, cancel: cancel, signals: s, suspend: suspend}
	return c, sync.OnceFunc(func() { c.end(); release() })
}

// patience is how long an interrupted process may take to clean up.
const patience = time.Second

// A signalContext is a context that signals can end.
type signalContext struct {
	context.Context
	cancel  context.CancelCauseFunc
	signals *Signals
	suspend func(stop func())
	listen  sync.Once

	// Under the mutex of signals:
	ended     bool
	late      []siginfo   // deadly signals that have not ended the context
	dying     *time.Timer // runs from the first deadly signal on
	continues int         // how many SIGCONT have arrived
}

func (c *signalContext) Done() <-chan struct{} {
	c.listen.Do(func() { c.signals.consume(c.take) })
	return c.Context.Done()
}

// take is the consumer of signals.
func (c *signalContext) take(i siginfo, e effect) {
	n := i.number()
	if n == syscall.SIGCONT {
		c.continues++
	}
	switch e {
	case effectStop:
		// In a goroutine, because suspend can block, and a deadly signal has to be seen then.
		before := c.continues
		go c.suspend(func() { c.stop(i, before) })
	case effectDeath:
		if c.Err() == nil {
			c.cancel(Interrupted{n})
		} else {
			c.late = append(c.late, i)
		}
		if c.dying == nil {
			c.dying = time.AfterFunc(patience, func() { ExitBySignal(n) })
		}
	}
}

// stop stops the process, unless its reason has passed since continues was the count of SIGCONT.
func (c *signalContext) stop(i siginfo, continues int) {
	c.signals.mutex.Lock()
	defer c.signals.mutex.Unlock()
	switch {
	case c.continues != continues:
		// A SIGCONT discards an earlier stop: see takeEffect.
	case c.ended || c.signals.consumer == nil:
		// The wait is over, so the signal is meant for the command. The command has not got it from
		// the terminal, so it is passed on as if kill(2) had sent it.
		i.code = codeKill
		c.signals.queue.put(i)
	default:
		c.signals.suspend(i)
		c.signals.drain() // a stop that has not taken place comes again
	}
}

// end gives the signals that have had no effect back to the queue.
func (c *signalContext) end() {
	c.signals.Hold()
	c.signals.mutex.Lock()
	c.ended = true
	for _, i := range c.late {
		c.signals.queue.put(i)
	}
	if c.dying != nil {
		c.dying.Stop()
	}
	c.signals.mutex.Unlock()
	c.cancel(nil)
}
