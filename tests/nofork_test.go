package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// eachNoFork runs a test for --no-fork on the direct path, and by the Go runtime.
func eachNoFork(t *testing.T, test func(t *testing.T, run func(args ...string) *exec.Cmd)) {
	for way, binary := range map[string]string{"direct": binaries.poolrun, "runtime": binaries.indirect} {
		t.Run(way, func(t *testing.T) {
			test(t, func(args ...string) *exec.Cmd {
				return command(t, binary, append([]string{"--no-fork", "--pool"}, args...)...)
			})
		})
	}
}

// With --no-fork, poolrun's process becomes the command. The slot is held as long as the process lives,
// and status shows that the command runs.
func TestNoForkBecomesTheCommand(t *testing.T) {
	eachNoFork(t, func(t *testing.T, run func(...string) *exec.Cmd) {
		name := newPool(t, 1)
		cmd := run(name, "sh", "-c", `echo $$ $POOLRUN_SLOT $POOLRUN_HELD; read line; exit 7`)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		next := startLines(t, cmd)
		pid := strconv.Itoa(cmd.Process.Pid)
		if line := next(); !strings.HasPrefix(line, pid+" 0 "+name+"/") {
			t.Errorf("%q, and the process is %s", line, pid)
		}
		s := statusOf(t, name)
		if h := s.Holders[0]; h.State != "running" || h.PID != cmd.Process.Pid || h.CommandPID != h.PID {
			t.Errorf("%+v", h)
		}
		if child := childOf(cmd.Process.Pid); child != 0 {
			t.Errorf("it has a child %d", child)
		}
		wantBusy(t, name)
		waiter := startWaiter(t, name)
		stdin.Close()
		wantExit(t, 7, cmd)
		wantExit(t, 0, waiter)
		wantEmpty(t, name)
	})
}

// However the command ends, the slot is free then.
func TestNoForkReturnsTheSlotAfterADeath(t *testing.T) {
	eachNoFork(t, func(t *testing.T, run func(...string) *exec.Cmd) {
		name := newPool(t, 2)
		for _, n := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGSEGV} {
			cmd := mustStart(t, run(name, "sleep", "1000"))
			waitForCommand(t, name)
			waiter := mustStart(t, poolrun(t, "--pool", name, "--weight", "2", "true"))
			waitForLine(t, name, 1)
			syscall.Kill(cmd.Process.Pid, n)
			wantSignal(t, n, cmd)
			wantExit(t, 0, waiter)
		}
		wantEmpty(t, name)
	})
}

// One run after the other needs no mending and no Go runtime, although each leaves a dead holder.
func TestNoForkAgainAndAgain(t *testing.T) {
	name := newPool(t, 3)
	for range 10 {
		cmd := poolrun(t, "-v", "--no-fork", "--pool", name, "true")
		if out, err := cmd.CombinedOutput(); err != nil || hasDirectPath && !strings.Contains(string(out), "without the Go runtime") {
			t.Errorf("%v: %s", err, out)
		}
	}
	wantEmpty(t, name)
}

// A child of the command that has the guard keeps the slot, as with flock -F, and a command that has
// closed the guard keeps it all the same.
func TestNoForkHoldsTheSlotForWhomItIsMeant(t *testing.T) {
	eachNoFork(t, func(t *testing.T, run func(...string) *exec.Cmd) {
		name := newPool(t, 1)
		cmd := run(name, "sh", "-c", "sleep 1000 >&- & echo $!")
		next := startLines(t, cmd)
		child, err := strconv.Atoi(next())
		if err != nil {
			t.Fatal(err)
		}
		wantExit(t, 0, cmd)
		if h := statusOf(t, name).Holders[0]; h.State != "orphaned" {
			t.Errorf("%+v", h)
		}
		wantBusy(t, name)
		kill(t, child)
		wantEmpty(t, name)

		cmd = run(name, "closing", "sh", "-c", "echo; cat")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		startLines(t, cmd)()
		if h := statusOf(t, name).Holders[0]; h.State != "running" {
			t.Errorf("%+v", h)
		}
		wantBusy(t, name)
		stdin.Close()
		wantExit(t, 0, cmd)
		wantEmpty(t, name)
	})
}

// A nested call runs inside the slot, also where poolrun is exec'd by the process that holds it and
// that has closed the guard.
func TestNoForkIsKnownToNestedCalls(t *testing.T) {
	eachNoFork(t, func(t *testing.T, run func(...string) *exec.Cmd) {
		name := newPool(t, 1)
		inner := binaries.poolrun + " --pool " + name + " -n"
		for _, script := range []string{
			inner + " true", "exec " + inner + " true", "env -i " + inner + " true", "exec env -i " + inner + " true",
			"exec closing env -i " + inner + " true", "closing env -i " + inner + " true; true",
			inner + " --no-fork true", "exec " + inner + " --no-fork true",
		} {
			wantResult(t, run(name, "sh", "-c", script), 0, "")
		}
		if n := statusOf(t, name).Counters.Acquired; n != 8 {
			t.Errorf("%d acquired", n)
		}
		wantEmpty(t, name)
	})
}

// A command that cannot be executed leaves nothing, and poolrun says why.
func TestNoForkReportsWhatCannotBeExecuted(t *testing.T) {
	eachNoFork(t, func(t *testing.T, run func(...string) *exec.Cmd) {
		name := newPool(t, 1)
		dir := t.TempDir()
		write := func(base, text string) string {
			path := filepath.Join(dir, base)
			if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
			return path
		}
		wantResult(t, run(name, "nothing-of-that-name"), 127, "command not found")
		wantResult(t, run(name, "/etc/passwd"), 126, "permission denied")
		wantResult(t, run(name, write("lost", "#!/nowhere/sh\n")), 126, "/nowhere/sh")
		wantResult(t, run(name, write("plain", "exit 5\n")), 5, "")
		busy := run(name, write("open", "#!/bin/sh\n"))
		file, err := os.OpenFile(filepath.Join(dir, "open"), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		wantResult(t, busy, 126, "text file busy")
		wantEmpty(t, name)
		if n := statusOf(t, name).Counters.Released; n != 1 {
			t.Errorf("%d released", n)
		}
	})
}

// A message that nobody reads does not keep the command from running.
func TestNoForkDoesNotWaitForAReader(t *testing.T) {
	eachNoFork(t, func(t *testing.T, run func(...string) *exec.Cmd) {
		name := newPool(t, 1)
		cmd := run(name, "-v", "true")
		_, cmd.Stderr = fullPipe(t)
		wantExit(t, 0, mustStart(t, cmd))
		wantEmpty(t, name)
	})
}

func TestADeathInNoForkIsRecovered(t *testing.T) {
	pass := append([]string{"slot freed"}, everyStep...)
	eachStep(t, pass, func(t *testing.T, n int, _ string) bool {
		name := newPool(t, 1)
		wantExit(t, 0, mustStart(t, poolrun(t, "--no-fork", "--pool", name, "true"))) // leaves a dead holder
		cmd := crashing(t, n, "--no-fork", "--pool", name, "true")
		cmd.Run()
		wantUsable(t, name)
		return wasKilled(cmd)
	})
}
