package tests

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// While poolrun waits, it dies of the signals of which any program dies, and leaves the line.
func TestEveryDeadlySignalEndsTheWait(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	ignored := ignoredHere(t)
	sent := uint64(0)
	for n := syscall.Signal(1); n <= 64; n++ {
		switch n {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
			syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH:
			continue
		}
		if ignored>>(n-1)&1 != 0 {
			continue
		}
		cmd := poolrun(t, "--pool", name, "true")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		mustStart(t, cmd)
		waitForLine(t, name, 1)
		for _, harmless := range []syscall.Signal{syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH} {
			cmd.Process.Signal(harmless)
		}
		cmd.Process.Signal(n)
		wantSignal(t, n, cmd)
		sent++
		if s := statusOf(t, name); s.Waiting != 0 || s.Counters.Cancelled != sent || stderr.Len() > 0 {
			t.Errorf("%v: %q on stderr, status %+v", n, stderr.String(), s)
		}
	}
	release()
	wantEmpty(t, name)
}

// A signal that was blocked when poolrun started does not end the wait, whether it came before
// or after that. The command finds it pending.
func TestABlockedSignalIsPendingForTheCommand(t *testing.T) {
	listener := cProgram(t, "siginfo")
	for _, what := range []string{"blocked", "pending"} {
		name := newPool(t, 1)
		release := holdSlot(t, name)
		cmd := command(t, "changed", what, binaries.poolrun, "--pool", name, "--", listener.Path)
		next := startLines(t, cmd)
		waitForLine(t, name, 1)
		code := -6 // SI_TKILL
		if what == "blocked" {
			code = 0
			cmd.Process.Signal(syscall.SIGTERM)
		}
		release()
		for _, want := range []string{"ready", fmt.Sprintf("15 %d 0", code)} {
			wantLine(t, next, want)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		wantEmpty(t, name)
	}
}

// ignoredHere returns the set of signals that a program inherits as ignored from this test.
// With the race detector, the C library ignores some.
func ignoredHere(t *testing.T) (set uint64) {
	t.Helper()
	out, err := command(t, "sed", "-n", "s/^SigIgn:\\t/0x/p", "/proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(out), &set); err != nil {
		t.Fatal(err)
	}
	return set
}

// A signal that comes just as poolrun gets its slot ends either the wait or the command.
func TestASignalAtTheEndOfTheWaitIsNotLost(t *testing.T) {
	name := newPool(t, 1)
	for range 10 {
		for _, flags := range [][]string{nil, {"--wait-tree"}, {"--jobserver"}} { // different ways to wait
			release := holdSlot(t, name)
			cmd := mustStart(t, poolrun(t, append(flags, "--pool", name, "--", "sleep", "100")...))
			waitForLine(t, name, 1)
			cmd.Process.Signal(syscall.SIGSTOP)
			waitForState(t, 'T', cmd.Process.Pid)
			release()
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Process.Signal(syscall.SIGCONT)
			wantSignal(t, syscall.SIGTERM, cmd)
		}
	}
	wantEmpty(t, name)
}
