package supervisor

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

func catchSignals(t *testing.T) *Signals {
	t.Helper()
	signals, err := Catch()
	if err != nil {
		t.Fatal(err)
	}
	return signals
}

// inherit lets a test run as if the process had started with these signals ignored and blocked.
func inherit(t *testing.T, ignored, blocked signalSet) {
	before := atEntry
	t.Cleanup(func() { atEntry = before })
	atEntry.ignored, atEntry.blocked = ignored, blocked
}

// signalSelf sends signals to this process from another one.
func signalSelf(t *testing.T, signals ...syscall.Signal) {
	t.Helper()
	for _, n := range signals {
		if err := exec.Command("sh", "-c", "kill -"+strconv.Itoa(int(n))+" "+strconv.Itoa(os.Getpid())).Run(); err != nil {
			t.Fatal(err)
		}
	}
}

// isQueued waits for a signal in the queue. It takes the signals before it out.
func (s *Signals) isQueued(n syscall.Signal) bool {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		var i siginfo
		for s.queue.take(&i) {
			if i.number() == n {
				return true
			}
		}
	}
	return false
}

func waitDone(t *testing.T, ctx context.Context) {
	t.Helper()
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the context does not end")
	}
}

func TestTheQueueKeepsOrderAndRealTimeSignals(t *testing.T) {
	signals := catchSignals(t)
	signals.Hold()
	signalSelf(t, 36, syscall.SIGUSR1, 36, 36, syscall.SIGUSR2)
	var got []syscall.Signal
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && len(got) < 5; time.Sleep(time.Millisecond) {
		var i siginfo
		for signals.queue.take(&i) {
			if effectOf(&i) == effectDeath {
				got = append(got, i.number())
			}
		}
	}
	want := []syscall.Signal{36, syscall.SIGUSR1, 36, 36, syscall.SIGUSR2}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%v", got)
		}
	}
}

// After the end of a wait, signals are the command's. The goroutine that took them before can
// end later, and must not take them.
func TestAnEndedContextTakesNoSignal(t *testing.T) {
	signals := catchSignals(t)
	for range 20 {
		ctx, end := signals.Context(time.Time{}, nil)
		ctx.Done()
		end()
		signalSelf(t, syscall.SIGUSR1)
		if ctx.Err() == nil || !signals.isQueued(syscall.SIGUSR1) {
			t.Fatal("the context took the signal")
		}
	}
}

func TestASignalEndsAContext(t *testing.T) {
	signals := catchSignals(t)
	ctx, end := signals.Context(time.Time{}, nil)
	defer end()
	child, cancel := context.WithCancel(ctx)
	defer cancel()
	signalSelf(t, syscall.SIGWINCH, 36)
	waitDone(t, ctx)
	waitDone(t, child)
	for _, c := range []context.Context{ctx, child} {
		if cause := context.Cause(c); cause != (Interrupted{36}) || c.Err() != context.Canceled {
			t.Errorf("error %v, cause %v", c.Err(), cause)
		}
	}
}

// Context keeps the contract of context.Context.
func TestContextContract(t *testing.T) {
	signals := catchSignals(t)
	t.Run("polling leaves signals in the queue", func(t *testing.T) {
		ctx, end := signals.Context(time.Now().Add(time.Hour), nil)
		defer end()
		signalSelf(t, syscall.SIGUSR1)
		for range 100 {
			if err, cause := ctx.Err(), context.Cause(ctx); err != nil || cause != nil {
				t.Fatalf("error %v, cause %v", err, cause)
			}
			ctx.Deadline()
		}
		if !signals.isQueued(syscall.SIGUSR1) {
			t.Error("the signal was taken")
		}
	})
	t.Run("no deadline", func(t *testing.T) {
		ctx, end := signals.Context(time.Time{}, nil)
		defer end()
		if deadline, ok := ctx.Deadline(); ok {
			t.Error(deadline)
		}
		if first := ctx.Done(); first != ctx.Done() {
			t.Error("two calls of Done return different channels")
		}
	})
	t.Run("the deadline ends it", func(t *testing.T) {
		want := time.Now().Add(20 * time.Millisecond)
		ctx, end := signals.Context(want, nil)
		defer end()
		if got, ok := ctx.Deadline(); !ok || !got.Equal(want) {
			t.Errorf("deadline %v, %v", got, ok)
		}
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		waitDone(t, ctx)
		waitDone(t, child)
		end() // changes nothing
		for _, c := range []context.Context{ctx, child} {
			if c.Err() != context.DeadlineExceeded || context.Cause(c) != context.DeadlineExceeded {
				t.Errorf("error %v, cause %v", c.Err(), context.Cause(c))
			}
		}
	})
	t.Run("the deadline is seen without Done", func(t *testing.T) {
		ctx, end := signals.Context(time.Now().Add(-time.Second), nil)
		defer end()
		if ctx.Err() != context.DeadlineExceeded {
			t.Error(ctx.Err())
		}
	})
	t.Run("end cancels it", func(t *testing.T) {
		ctx, end := signals.Context(time.Now().Add(time.Hour), nil)
		end()
		end()
		waitDone(t, ctx)
		if ctx.Err() != context.Canceled || context.Cause(ctx) != context.Canceled {
			t.Errorf("error %v, cause %v", ctx.Err(), context.Cause(ctx))
		}
	})
}

// A deadly signal that arrives after the deadline has not ended the context. It is not lost:
// Run, or RestoreDefaults, finds it in the queue.
func TestASignalAfterTheDeadlineIsNotLost(t *testing.T) {
	signals := catchSignals(t)
	ctx, end := signals.Context(time.Now().Add(-time.Second), nil)
	waitDone(t, ctx)
	signalSelf(t, syscall.SIGUSR1)
	for c := ctx.(*signalContext); ; time.Sleep(time.Millisecond) {
		signals.mutex.Lock()
		taken := len(c.late)
		signals.mutex.Unlock()
		if taken > 0 {
			break
		}
	}
	end()
	if n := signals.queue.beforeCommand(&signals.kept); n != syscall.SIGUSR1 {
		t.Error(n)
	}
}

// A stop signal comes after all others, and not at all after a SIGCONT.
func TestAContinueDiscardsAnEarlierStop(t *testing.T) {
	signals := catchSignals(t)
	put := func(numbers ...syscall.Signal) (got []syscall.Signal) {
		for _, n := range numbers {
			signals.queue.put(siginfo{signal: int32(n), code: codeKill})
		}
		var i siginfo
		for {
			if _, ok := signals.queue.takeEffect(&i, &signals.kept); !ok {
				return got
			}
			if !i.isOwn() { // the runtime's SIGURG
				got = append(got, i.number())
			}
		}
	}
	const tstp, cont, winch = syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGWINCH
	for _, test := range []struct{ in, out []syscall.Signal }{
		{[]syscall.Signal{tstp, winch}, []syscall.Signal{winch, tstp}},
		{[]syscall.Signal{tstp, winch, cont}, []syscall.Signal{winch, cont}},
		{[]syscall.Signal{cont, tstp}, []syscall.Signal{cont, tstp}},
		{[]syscall.Signal{tstp, cont, tstp}, []syscall.Signal{cont, tstp}},
		{nil, nil},
	} {
		if got := put(test.in...); !slices.Equal(got, test.out) {
			t.Errorf("%v: %v instead of %v", test.in, got, test.out)
		}
	}
}

// A stop signal waits for suspend. If the wait has ended by then, the signal is the command's.
func TestALateStopIsForTheCommand(t *testing.T) {
	signals := catchSignals(t)
	suspended := make(chan func())
	ctx, end := signals.Context(time.Time{}, func(stop func()) { suspended <- stop })
	signals.mutex.Lock()
	ctx.(*signalContext).take(siginfo{signal: int32(syscall.SIGTSTP), code: codeKernel}, effectStop)
	signals.mutex.Unlock()
	stop := <-suspended
	end()
	stop()
	var i siginfo
	for signals.queue.take(&i) {
		if i.number() == syscall.SIGTSTP && i.code == codeKill {
			return
		}
	}
	t.Error("it is not in the queue")
}
