package tests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/poolrun/poolrun/gate"
)

// buildC builds a C program of testdata/c, once.
func buildC(name string) (path string, err error) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return "", err
	}
	path = filepath.Join(binaries.dir, "c-"+name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	out, err := exec.Command(cc, "-O2", "-pthread", "-o", path, "testdata/c/"+name+".c").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
}

// cProgram prepares a run of a C program.
func cProgram(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := buildC(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("no C compiler: ", err)
	}
	return command(t, path, args...)
}

// sem prepares a run of the C program for semaphores.
func sem(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	return cProgram(t, "sem", args...)
}

func mustSem(t testing.TB, args ...string) string {
	t.Helper()
	out, err := sem(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("sem %q: %v %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestGateAndGlibcShareASemaphore(t *testing.T) {
	name := freeName(t)
	mustSem(t, "create", name, "2")
	s, err := gate.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if value, err := s.Value(); value != 2 || err != nil {
		t.Errorf("value %d, %v", value, err)
	}
	mustSem(t, "wait", name)
	if err := s.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.TryWait(); !errors.Is(err, gate.ErrWouldBlock) {
		t.Errorf("a third of two: %v", err)
	}
	if sem(t, "trywait", name).Run() == nil {
		t.Error("a third of two, in C")
	}

	// Each wakes the other.
	waiter := sem(t, "wait", name)
	next := startLines(t, waiter)
	if line := next(); line != "waiting" {
		t.Fatal(line)
	}
	eventually(t, "the C program asleep", func() bool { return isInState(waiter.Process.Pid, 'S') })
	if err := s.Post(); err != nil {
		t.Error(err)
	}
	if line := next(); line != "taken" {
		t.Error(line)
	}
	waiter.Wait()
	got := make(chan error)
	go func() { got <- s.Wait(context.Background()) }()
	mustSem(t, "post", name)
	if err := <-got; err != nil {
		t.Error(err)
	}
	if value := mustSem(t, "value", name); value != "0" {
		t.Errorf("value %s", value)
	}
	mustSem(t, "unlink", name)
	if _, err := gate.Open(name); err == nil {
		t.Error("open after unlink")
	}
}

func TestGlibcOpensWhatGateCreates(t *testing.T) {
	name := freeName(t)
	s, err := gate.Create(name, 3, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustSem(t, "wait", name)
	mustSem(t, "wait", name)
	mustSem(t, "post", name)
	if value := mustSem(t, "value", name); value != "2" {
		t.Errorf("value %s", value)
	}
	if sem(t, "create", name, "1").Run() == nil {
		t.Error("created a second one of that name")
	}
}

// A C program takes its share of the limit, and what it gives back wakes the
// first in line.
func TestACProgramSharesThePool(t *testing.T) {
	name := newPool(t, 2)
	mustSem(t, "wait", name)
	release := holdSlot(t, name)
	if s := statusOf(t, name); s.InUse != 1 || s.Available != 0 {
		t.Errorf("status %+v", s)
	}
	if code := exitCode(t, poolrun(t, "--pool", name, "-n", "true")); code != 75 {
		t.Errorf("a third of two: %d", code)
	}
	waiter := mustStart(t, poolrun(t, "--pool", name, "true"))
	waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
	mustSem(t, "post", name)
	if err := waiter.Wait(); err != nil {
		t.Error(err)
	}
	release()
	wantEmpty(t, name)
}

func TestPoolrunWakesACProgram(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	waiter := sem(t, "wait", name)
	next := startLines(t, waiter)
	next()
	eventually(t, "the C program asleep", func() bool { return isInState(waiter.Process.Pid, 'S') })
	release()
	if line := next(); line != "taken" {
		t.Error(line)
	}
	waiter.Wait()
	if s := statusOf(t, name); s.InUse != 0 || s.Available != 0 {
		t.Errorf("status %+v", s)
	}
	mustSem(t, "post", name)
	wantUsable(t, name)
}

// A program that posts what it never took does not raise the limit.
func TestASpuriousPostDoesNotRaiseTheLimit(t *testing.T) {
	name := newPool(t, 1)
	mustSem(t, "post", name)
	release := holdSlot(t, name)
	if code := exitCode(t, poolrun(t, "--pool", name, "-n", "true")); code != 75 {
		t.Errorf("two in a pool of one: %d", code)
	}
	release()
}

// A C program that is killed in its wait, or with what it took, leaves a pool
// that works with what is left.
func TestAKilledCProgram(t *testing.T) {
	name := newPool(t, 2)
	release := holdSlot(t, name)
	mustSem(t, "wait", name) // and ends without a post
	waiter := sem(t, "wait", name)
	next := startLines(t, waiter)
	next()
	eventually(t, "the C program asleep", func() bool { return isInState(waiter.Process.Pid, 'S') })
	waiter.Process.Signal(syscall.SIGKILL)
	waiter.Wait()
	release()
	mustRun(t, "--pool", name, "-n", "true")
	if s := statusOf(t, name); s.Available != 1 {
		t.Errorf("status %+v", s)
	}
}

func TestSemTimedwait(t *testing.T) {
	name := newPool(t, 1)
	mustSem(t, "timedwait", name)
	if sem(t, "timedwait", name).Run() == nil {
		t.Error("two of one")
	}
	waiter := mustStart(t, poolrun(t, "--pool", name, "true"))
	waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
	mustSem(t, "post", name)
	if err := waiter.Wait(); err != nil {
		t.Error(err)
	}
	wantUsable(t, name)
}

// A C client that waits is served in its turn beside the line: whatever is given
// back goes to it or to the first in line, and both get theirs.
func TestACProgramAndTheFirstInLineBothGetTheirTurn(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	waiter := sem(t, "wait", name)
	next := startLines(t, waiter)
	next()
	eventually(t, "the C program asleep", func() bool { return isInState(waiter.Process.Pid, 'S') })
	dir := t.TempDir()
	line := lineUp(t, name, filepath.Join(dir, "order"), 3, noFlags)
	release()
	if line := next(); line != "taken" {
		t.Error(line)
	}
	waiter.Wait()
	mustSem(t, "post", name)
	for _, cmd := range line {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if got := readFile(t, filepath.Join(dir, "order")); got != "0\n1\n2\n" {
		t.Errorf("served in the order %q", got)
	}
	wantUsable(t, name)
}

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
		if line := next(); line != want {
			t.Errorf("%q instead of %q", line, want)
		}
	}
	if s := statusOf(t, name); s.Available != 0 {
		t.Errorf("status %+v", s)
	}
	if code := exitCode(t, poolrun(t, "--pool", name, "-n", "true")); code != 75 {
		t.Errorf("two of one: %d", code)
	}
	waiter := mustStart(t, poolrun(t, "--pool", name, "true"))
	waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
	fmt.Fprintln(stdin)
	if line := next(); !strings.HasPrefix(line, "value ") {
		t.Error(line)
	}
	if err := waiter.Wait(); err != nil {
		t.Error(err)
	}
	release := holdSlot(t, name)
	fmt.Fprintln(stdin)
	if line := next(); line != "waiting" {
		t.Error(line)
	}
	eventually(t, "Python asleep", func() bool { return isInState(cmd.Process.Pid, 'S') })
	release()
	if line := next(); line != "got it" {
		t.Error(line)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	wantUsable(t, name)
}

// A waiter of poolrun that is killed at the gate leaves no count behind that would
// keep a C program from being woken, nor a wake-up that would be lost with it.
func TestTheDeathOfTheFirstInLineLeavesCProgramsAlone(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	for range 5 {
		first := mustStart(t, poolrun(t, "--pool", name, "true"))
		waitStatus(t, name, "one in line", func(s status) bool {
			return s.Waiting == 1 && s.Waiters[0].PID == first.Process.Pid
		})
		kill(t, first.Process.Pid)
		first.Wait()
	}
	waiter := sem(t, "wait", name)
	next := startLines(t, waiter)
	next()
	eventually(t, "the C program asleep", func() bool { return isInState(waiter.Process.Pid, 'S') })
	release()
	if line := next(); line != "taken" {
		t.Error(line)
	}
	waiter.Wait()
	mustSem(t, "post", name)
	wantUsable(t, name)
}
