package tests

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// Python's multiprocessing semaphores are POSIX named ones.
func TestPythonSharesThePool(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no Python")
	}
	name := newPool(t, 1)
	script := `
import _multiprocessing, sys
s = _multiprocessing.SemLock._rebuild(0, 1, 2**31 - 1, sys.argv[1])
def say(*words): print(*words, flush=True)
say("value", s._get_value())
say("taken", s.acquire(True, 0))
say("again", s.acquire(True, 0.01))
input()
s.release()
say("value", s._get_value())
input()
say("waiting")
s.acquire()
say("got it")
s.release()
`
	cmd := command(t, python, "-c", script, name)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	next := startLines(t, cmd)
	for _, want := range []string{"value 1", "taken True", "again False"} {
		wantLine(t, next, want)
	}
	if s := statusOf(t, name); s.Available != 0 {
		t.Errorf("status %+v", s)
	}
	wantBusy(t, name)
	waiter := startWaiter(t, name)
	fmt.Fprintln(stdin)
	if line := next(); !strings.HasPrefix(line, "value ") {
		t.Error(line)
	}
	wantExit(t, 0, waiter)
	release := holdSlot(t, name)
	fmt.Fprintln(stdin)
	wantLine(t, next, "waiting")
	waitForState(t, 'S', cmd.Process.Pid)
	release()
	wantLine(t, next, "got it")
	wantExit(t, 0, cmd)
	wantUsable(t, name)
}
