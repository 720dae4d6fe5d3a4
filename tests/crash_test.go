package tests

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The binary "poolrun-crashing" kills itself at the N-th step that it takes in
// any change of the ledger, or of the pool's names (internal/crash). Each test
// here walks through all steps of one operation, and checks after each death that the
// next process finds a sound pool.

// crashing prepares a run that dies at step n.
func crashing(t testing.TB, n int, args ...string) *exec.Cmd {
	cmd := command(t, binaries.crashing, args...)
	cmd.Env = append(cmd.Env, fmt.Sprint("POOLRUN_CRASH_AT=", n))
	return cmd
}

// eachStep runs the test for step 1, 2, 3, and so on, until the process reaches its end
// alive. On the way it must have passed the steps named. The test returns whether the
// process died.
func eachStep(t *testing.T, pass []string, test func(t *testing.T, n int, log string) (died bool)) {
	log := filepath.Join(t.TempDir(), "steps")
	t.Setenv("POOLRUN_CRASH_LOG", log)
	for n := 1; ; n++ {
		os.Remove(log)
		died := false
		if !t.Run(fmt.Sprint("step ", n), func(t *testing.T) { died = test(t, n, log) }) {
			steps, _ := os.ReadFile(log)
			t.Fatalf("died after these steps:\n%s", steps)
		}
		if !died {
			break
		}
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	steps := string(text)
	t.Logf("%d steps", strings.Count(steps, "\n"))
	for _, name := range pass {
		if !strings.Contains("\n"+steps, "\n"+name+"\n") {
			t.Errorf("step %q is missing in:\n%s", name, steps)
		}
	}
}

// everyStep is the steps of a change that moves the gate.
var everyStep = []string{
	"claimed", "record filled in", "intent filled in", "intent written", "gate changed", "state written",
	"counter written", "out of the old place", "in the new place", "passed on", "intent cleared",
}

func TestADeathInAcquireOrReleaseIsRecovered(t *testing.T) {
	pass := append([]string{"slot assigned", "slot freed"}, everyStep...)
	eachStep(t, pass, func(t *testing.T, n int, _ string) bool {
		name := newPool(t, 2)
		cmd := crashing(t, n, "--pool", name, "true")
		cmd.Run()
		wantUsable(t, name)
		return wasKilled(cmd)
	})
}

// A holder that dies in its release does not hold up the waiter.
func TestADeathInReleaseDoesNotHoldUpTheWaiter(t *testing.T) {
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
		eventually(t, "a slot held, or the holder dead", func() bool {
			return len(ended) == 1 || statusOf(t, name).InUse == 1
		})
		waiter := mustStart(t, poolrun(t, "--pool", name, "true"))
		if len(ended) == 0 {
			eventually(t, "the waiter in line, or served", func() bool {
				s := statusOf(t, name)
				return s.Waiting == 1 || s.InUse == 0
			})
		}
		release.Close()
		wantExit(t, 0, waiter)
		<-ended
		wantUsable(t, name)
		return wasKilled(holder)
	})
}

func TestADeathInLineDoesNotHoldUpTheOthers(t *testing.T) {
	onlyOnce(t)
	eachStep(t, everyStep, func(t *testing.T, n int, log string) bool {
		name := newPool(t, 1)
		release := holdSlot(t, name)
		cmd := mustStart(t, crashing(t, n, "--pool", name, "true"))
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		eventually(t, "the crashing process in line, or dead", func() bool {
			select {
			case <-ended:
				return true
			default:
				return statusOf(t, name).Waiting == 1
			}
		})
		other := mustStart(t, poolrun(t, "--pool", name, "true"))
		waitStatus(t, name, "the other waiter in line", func(s status) bool {
			return s.Waiting > 0 && s.Waiters[s.Waiting-1].PID == other.Process.Pid
		})
		release()
		wantExit(t, 0, other)
		<-ended
		wantUsable(t, name)
		return wasKilled(cmd)
	})
}

func TestADeathInGivingUpIsRecovered(t *testing.T) {
	onlyOnce(t)
	leaves := []string{"out of the old place", "in the new place", "passed on", "intent cleared"}
	eachStep(t, append(leaves, leaves...), func(t *testing.T, n int, _ string) bool {
		name := newPool(t, 1)
		release := holdSlot(t, name)
		// Long enough for it to join the line before it gives up.
		cmd := crashing(t, n, "--pool", name, "--timeout", "300ms", "true")
		cmd.Run()
		other := mustStart(t, poolrun(t, "--pool", name, "true"))
		waitStatus(t, name, "only the other waiter in line", func(s status) bool {
			return s.Waiting == 1 && s.Waiters[0].PID == other.Process.Pid
		})
		release()
		wantExit(t, 0, other)
		wantUsable(t, name)
		return wasKilled(cmd)
	})
}

// A process that recovers the ledger can be killed in turn.
func TestADeathInRecoveryIsRecovered(t *testing.T) {
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
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		if line == step {
			return i + 1
		}
	}
	t.Fatalf("no step %q", step)
	return 0
}

func TestADeathInReapingTheDeadIsRecovered(t *testing.T) {
	onlyOnce(t)
	eachStep(t, everyStep, func(t *testing.T, n int, _ string) bool {
		name := newPool(t, 1)
		holder, child := startHolder(t, name)
		kill(t, holder.Process.Pid)
		kill(t, child)
		holder.Wait()
		cmd := crashing(t, n, "--pool", name, "true")
		cmd.Run()
		wantUsable(t, name)
		return wasKilled(cmd)
	})
}

func TestADeathInCreateLeavesAWholePoolOrNone(t *testing.T) {
	pass := []string{"nothing linked", "ledger linked", "semaphore linked", "pool alive"}
	eachStep(t, pass, func(t *testing.T, n int, _ string) bool {
		name := freeName(t)
		cmd := crashing(t, n, "init", name, "--size", "2")
		cmd.Run()
		// The next creator finds a whole pool, or none.
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

func TestADeathInDestroyLeavesAWholePoolOrNone(t *testing.T) {
	onlyOnce(t)
	for what, flags := range map[string][]string{"": nil, " --force": {"--force"}, " --drain": {"--drain"}} {
		t.Run("destroy"+what, func(t *testing.T) {
			pass := []string{"marked as destroyed", "all told", "semaphore unlinked", "ledger unlinked"}
			eachStep(t, pass, func(t *testing.T, n int, _ string) bool {
				name := newPool(t, 2)
				cmd := crashing(t, n, append([]string{"destroy", name}, flags...)...)
				cmd.Run()
				// The pool exists as before, or its name can be used again.
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

// Whenever the poolrun of a build is killed, the build and other commands keep to the limit until it has
// ended, and then all slots are free.
func TestADeathOfABuildsPoolrunKeepsTheLimit(t *testing.T) {
	onlyOnce(t)
	for _, style := range styles {
		t.Run(style, func(t *testing.T) {
			pass := []string{"token's lease guarded", "token's lease complete", "token offered", "token taken back", "guard unlocked"}
			if style == "pipe" {
				pass = append(pass, "returned tokens read")
			}
			eachStep(t, pass, func(t *testing.T, n int, _ string) bool {
				name, dir := newPool(t, 2), t.TempDir()
				// It ends when the other command has run, which needs the slot that the build has no use
				// for any more, or when poolrun is dead.
				served := filepath.Join(dir, "served")
				build := crashing(t, n, "-p", name, "--jobserver="+style, "--", "sh", "-c",
					fmt.Sprintf("jobclient 3 sit %s 2 20ms && await-file %s", dir, served))
				mustStart(t, build)
				ended := make(chan error, 1)
				go func() {
					ended <- build.Wait()
					os.WriteFile(served, nil, 0o600)
				}()
				waitStatus(t, name, "two jobs, or the death of poolrun", func(s status) bool {
					return s.InUse == 2 || len(ended) > 0
				})
				wantExit(t, 0, mustStart(t, poolrun(t, "-p", name, "--", "sh", "-c", fmt.Sprintf("sit %s 2 20ms && : >%s", dir, served))))
				<-ended
				waitStatus(t, name, "the end of the build", func(s status) bool { return s.InUse == 0 })
				if _, err := os.Stat(filepath.Join(dir, "stood")); err == nil {
					t.Error("the limit was exceeded")
				}
				wantUsable(t, name)
				return wasKilled(build)
			})
		})
	}
}
