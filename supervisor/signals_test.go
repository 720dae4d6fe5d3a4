package supervisor

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Signals that come after a wait are the command's: the wait's listener, which may end
// later, leaves them where they are.
func TestAStoppedListenerTakesNoSignal(t *testing.T) {
	signals, err := Catch()
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		ctx, stop := signals.Context(time.Time{}, nil)
		ctx.Done()
		stop()
		if err := exec.Command("sh", "-c", "kill -USR1 "+strconv.Itoa(os.Getpid())).Run(); err != nil {
			t.Fatal(err)
		}
		if ctx.Err() == nil || !isCaught(syscall.SIGUSR1) {
			t.Fatal("the listener took the signal")
		}
	}
}

func TestASignalEndsAContext(t *testing.T) {
	signals, err := Catch()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := signals.Context(time.Time{}, nil)
	defer stop()
	ctx.Done()
	if err := exec.Command("sh", "-c", "kill -WINCH "+strconv.Itoa(os.Getpid())+"; kill -36 "+strconv.Itoa(os.Getpid())).Run(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("it did not")
	}
	if cause := context.Cause(ctx); cause != (Interrupted{36}) {
		t.Error(cause)
	}
}

// isCaught waits for this signal to be caught.
func isCaught(n syscall.Signal) bool {
	var buffer [4]siginfo
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for _, i := range caught(&buffer) {
			if syscall.Signal(i.signal) == n {
				return true
			}
		}
	}
	return false
}
