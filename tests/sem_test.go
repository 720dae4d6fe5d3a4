package tests

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The C programs of the tests: sem uses named semaphores as any C program does.

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

// startSemWaiter starts a C program that waits for a semaphore, and returns when the
// program sleeps. Its next line is "taken".
func startSemWaiter(t testing.TB, name string) (waiter *exec.Cmd, next func() string) {
	t.Helper()
	waiter = sem(t, "wait", name)
	next = startLines(t, waiter)
	wantLine(t, next, "waiting")
	waitForState(t, 'S', waiter.Process.Pid)
	return waiter, next
}

// startSemHolder starts a C program that holds a slot until the returned function is called.
// It returns when this many slots are left.
func startSemHolder(t testing.TB, name string, available int) (holder *exec.Cmd, release func()) {
	t.Helper()
	holder = sem(t, "hold", name, "cat")
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	mustStart(t, holder)
	waitStatus(t, name, "a slot taken by the C program", func(s status) bool { return s.Available == available })
	return holder, func() {
		t.Helper()
		stdin.Close()
		wantExit(t, 0, holder)
	}
}
