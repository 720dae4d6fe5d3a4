package tests

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The binary "poolrun-crashing" kills itself at the N-th step that it takes in
// any change of the ledger, or of the pool's names (pool/step_crash.go). Each test
// here walks through all the steps of one operation, from the first to the one
// that is not reached any more, and checks after each that whoever comes next
// finds a pool in order.

// crashing prepares a run that dies at step n.
func crashing(t testing.TB, n int, args ...string) *exec.Cmd {
	cmd := command(t, binaries.crashing, args...)
	cmd.Env = append(cmd.Env, fmt.Sprint("POOLRUN_CRASH_AT=", n))
	return cmd
}

func wasKilled(cmd *exec.Cmd) bool {
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return status.Signaled() && status.Signal() == syscall.SIGKILL
}

// eachStep runs the test for step 1, 2, 3, and so on; the test returns whether
// the process still died. It must have passed the steps named.
func eachStep(t *testing.T, pass []string, test func(t *testing.T, n int, log string) (died bool)) {
	log := filepath.Join(t.TempDir(), "steps")
	t.Setenv("POOLRUN_CRASH_LOG", log)
	for n := 1; ; n++ {
		os.Remove(log)
		died := false
		if !t.Run(fmt.Sprint("step ", n), func(t *testing.T) { died = test(t, n, log) }) {
			steps, _ := os.ReadFile(log)
			t.Fatalf("died after:\n%s", steps)
		}
		if !died {
			break
		}
	}
	steps := readFile(t, log)
	t.Logf("%d steps", strings.Count(steps, "\n"))
	for _, name := range pass {
		if !strings.Contains("\n"+steps, "\n"+name+"\n") {
			t.Errorf("step %q was never passed in:\n%s", name, steps)
		}
	}
}

// everyStep are the steps of a change that moves the gate.
var everyStep = []string{
	"claimed", "record filled in", "intent filled in", "intent written", "gate changed", "state written",
	"counter written", "out of the old place", "in the new place", "passed on", "intent cleared",
}

// wantUsable checks that nothing of the dead is left and that the pool works.
func wantUsable(t testing.TB, name string) {
	t.Helper()
	wantEmpty(t, name)
	if code := exitCode(t, poolrun(t, "--pool", name, "-n", "true")); code != 0 {
		t.Errorf("the next command: exit code %d", code)
	}
	wantEmpty(t, name)
}

func TestKilledInAcquireOrRelease(t *testing.T) {
	pass := append([]string{"slot assigned", "slot freed"}, everyStep...)
	eachStep(t, pass, func(t *testing.T, n int, _ string) bool {
		name := newPool(t, 2)
		cmd := crashing(t, n, "--pool", name, "true")
		cmd.Run()
		wantUsable(t, name)
		return wasKilled(cmd)
	})
}

// The death of a waiter, or of one that has just become first, holds up nobody.
func TestKilledInReleaseWhileAnotherWaits(t *testing.T) {
	eachStep(t, append([]string{"gate woken"}, everyStep...), func(t *testing.T, n int, _ string) bool {
		name := newPool(t, 1)
		holder := crashing(t, n, "--pool", name, "cat")
		release, err := holder.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		mustStart(t, holder)
		ended := make(chan error, 1)
		go func() { ended <- holder.Wait() }()
		eventually(t, "the holder held or dead", func() bool {
			return len(ended) == 1 || statusOf(t, name).InUse == 1
		})
		waiter := mustStart(t, poolrun(t, "--pool", name, "true"))
		if len(ended) == 0 {
			eventually(t, "one in line, or served", func() bool {
				s := statusOf(t, name)
				return s.Waiting == 1 || s.InUse == 0
			})
		}
		release.Close()
		if err := waiter.Wait(); err != nil {
			t.Error(err)
		}
		<-ended
		wantUsable(t, name)
		return wasKilled(holder)
	})
}

func TestKilledInLine(t *testing.T) {
	eachStep(t, everyStep, func(t *testing.T, n int, log string) bool {
		name := newPool(t, 1)
		release := holdSlot(t, name)
		cmd := mustStart(t, crashing(t, n, "--pool", name, "true"))
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		eventually(t, "the crashing one in line or dead", func() bool {
			select {
			case <-ended:
				return true
			default:
				return statusOf(t, name).Waiting == 1
			}
		})
		other := mustStart(t, poolrun(t, "--pool", name, "true"))
		waitStatus(t, name, "another in line", func(s status) bool {
			return s.Waiting > 0 && s.Waiters[s.Waiting-1].PID == other.Process.Pid
		})
		release()
		if err := other.Wait(); err != nil {
			t.Error(err)
		}
		<-ended
		wantUsable(t, name)
		return wasKilled(cmd)
	})
}

func TestKilledInGivingUp(t *testing.T) {
	leaves := []string{"out of the old place", "in the new place", "passed on", "intent cleared"}
	eachStep(t, append(leaves, leaves...), func(t *testing.T, n int, _ string) bool {
		name := newPool(t, 1)
		release := holdSlot(t, name)
		// Long enough for it to join the line before it gives up.
		cmd := crashing(t, n, "--pool", name, "--timeout", "300ms", "true")
		cmd.Run()
		other := mustStart(t, poolrun(t, "--pool", name, "true"))
		waitStatus(t, name, "only the other in line", func(s status) bool {
			return s.Waiting == 1 && s.Waiters[0].PID == other.Process.Pid
		})
		release()
		if err := other.Wait(); err != nil {
			t.Error(err)
		}
		wantUsable(t, name)
		return wasKilled(cmd)
	})
}

// Whoever mends the ledger can be killed at it too.
func TestKilledInRecovery(t *testing.T) {
	for _, first := range []string{"gate changed", "slot assigned", "slot freed", "in the new place"} {
		t.Run("after "+first, func(t *testing.T) {
			eachStep(t, []string{"rebuilt", "all woken"}, func(t *testing.T, n int, log string) bool {
				name := newPool(t, 2)
				at := stepNumber(t, first)
				if cmd := crashing(t, at, "--pool", name, "true"); exitCode(t, cmd) != 137 {
					t.Fatalf("did not die at step %d", at)
				}
				os.Remove(log)
				cmd := crashing(t, n, "--pool", name, "true")
				cmd.Run()
				wantUsable(t, name)
				return wasKilled(cmd)
			})
		})
	}
}

// stepNumber finds the number of a step of an ordinary run.
func stepNumber(t testing.TB, step string) int {
	t.Helper()
	name := newPool(t, 2)
	log := filepath.Join(t.TempDir(), "steps")
	cmd := command(t, binaries.crashing, "--pool", name, "true")
	cmd.Env = append(cmd.Env, "POOLRUN_CRASH_LOG="+log)
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(readFile(t, log), "\n") {
		if line == step {
			return i + 1
		}
	}
	t.Fatalf("no step %q", step)
	return 0
}

func TestKilledInReapingTheDead(t *testing.T) {
	eachStep(t, everyStep, func(t *testing.T, n int, _ string) bool {
		name := newPool(t, 1)
		holder, child := startHolder(t, name)
		kill(t, holder.Process.Pid)
		kill(t, child)
		holder.Wait()
		eventually(t, "the command gone", func() bool { return syscall.Kill(child, 0) != nil || isZombie(child) })
		cmd := crashing(t, n, "--pool", name, "true")
		cmd.Run()
		wantUsable(t, name)
		return wasKilled(cmd)
	})
}

func TestKilledInCreate(t *testing.T) {
	pass := []string{"nothing linked", "ledger linked", "semaphore linked", "pool alive"}
	eachStep(t, pass, func(t *testing.T, n int, _ string) bool {
		name := freeName(t)
		cmd := crashing(t, n, "init", name, "--size", "2")
		cmd.Run()
		// The next creator finds a whole pool or none.
		code := exitCode(t, poolrun(t, "init", name, "--size", "2"))
		if whole := statusWorks(t, name); !whole {
			t.Error("no pool")
		}
		if code != 0 && code != 2 {
			t.Errorf("exit code %d", code)
		}
		wantUsable(t, name)
		return wasKilled(cmd)
	})
}

func TestKilledInDestroy(t *testing.T) {
	for what, flags := range map[string][]string{"": nil, " --force": {"--force"}, " --drain": {"--drain"}} {
		t.Run("destroy"+what, func(t *testing.T) {
			pass := []string{"marked as destroyed", "all told", "semaphore unlinked", "ledger unlinked"}
			eachStep(t, pass, func(t *testing.T, n int, _ string) bool {
				name := newPool(t, 2)
				cmd := crashing(t, n, append([]string{"destroy", name}, flags...)...)
				cmd.Run()
				// The pool is there as before, or gone and can be made again.
				if !statusWorks(t, name) {
					mustRun(t, "init", name, "--size", "2")
				}
				wantUsable(t, name)
				mustRun(t, "destroy", name)
				return wasKilled(cmd)
			})
		})
	}
}

func statusWorks(t testing.TB, name string) bool {
	cmd := poolrun(t, "status", name)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	return exitCode(t, cmd) == 0
}
