package tests

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// poolrun lives until its command has ended, whatever signals the command ignores.
func TestPoolrunWaitsForACommandThatIgnoresItsSignals(t *testing.T) {
	name := newPool(t, 1)
	cmd, _, tell, next := startListener(t, name, `trap "" TERM INT HUP; echo trapped; read line; echo "$line"; exit 7`)
	next()
	for _, n := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		cmd.Process.Signal(n)
	}
	tell("still here")
	wantLine(t, next, "still here")
	wantExit(t, 7, cmd)
}

func TestPoolrunDiesOfTheCommandsSignal(t *testing.T) {
	name := newPool(t, 1)
	for n := syscall.Signal(1); n <= 31; n++ {
		switch n {
		case syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH: // ignored by default
			continue
		case syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
			continue
		}
		cmd := poolrun(t, "--pool", name, "sh", "-c", fmt.Sprintf("ulimit -c 0; kill -%d $$", n))
		out, _ := cmd.CombinedOutput()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !status.Signaled() || status.Signal() != n || len(out) > 0 {
			t.Errorf("the command died of %v, poolrun ended with %v and printed %q", n, cmd.ProcessState, out)
		}
	}
	wantEmpty(t, name)
}

func TestNohupAndBackgroundJobsKeepTheirIgnoredSignals(t *testing.T) {
	const sleeper = "poolrun --pool %s sh -c 'echo ready; exec sleep 1000' &"
	for _, test := range []struct {
		what, line string
		ignored    syscall.Signal
	}{
		{"nohup", "nohup " + sleeper, syscall.SIGHUP},
		{"a background job, interrupted", sleeper, syscall.SIGINT},
		{"a background job, told to quit", sleeper, syscall.SIGQUIT},
	} {
		name := newPool(t, 1)
		cmd := command(t, "sh", "-c", fmt.Sprintf(test.line, name)+" wait $!; echo ended $?")
		next := startLines(t, cmd)
		wantLine(t, next, "ready")
		s := waitForCommand(t, name)
		for _, pid := range []int{s.Holders[0].PID, s.Holders[0].CommandPID} {
			if mask := ignoredMask(t, pid); mask&(1<<(test.ignored-1)) == 0 {
				t.Errorf("%s: process %d does not ignore %v: %x", test.what, pid, test.ignored, mask)
			}
		}
		syscall.Kill(s.Holders[0].PID, test.ignored)
		syscall.Kill(s.Holders[0].PID, syscall.SIGTERM)
		if line := next(); line != "ended 143" {
			t.Errorf("%s: %q", test.what, line)
		}
		cmd.Wait()
	}
}

func ignoredMask(t testing.TB, pid int) uint64 { return signalMask(t, pid, "SigIgn:") }
func caughtMask(t testing.TB, pid int) uint64  { return signalMask(t, pid, "SigCgt:") }

func signalMask(t testing.TB, pid int, field string) (mask uint64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field); ok {
			if _, err := fmt.Sscanf(strings.TrimSpace(value), "%x", &mask); err != nil {
				t.Fatal(err)
			}
		}
	}
	return mask
}
