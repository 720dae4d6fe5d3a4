package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// startDrain starts to drain a pool, and returns when newcomers are refused.
func startDrain(t testing.TB, name string) *exec.Cmd {
	t.Helper()
	drain := mustStart(t, poolrun(t, "destroy", name, "--drain"))
	eventually(t, "newcomers refused", func() bool {
		return exitCode(t, poolrun(t, "--pool", name, "-n", "true")) == 2
	})
	return drain
}

// destroy --force removes a pool, and its waiters end, although another process was stopped
// with the ledger lock.
func TestForcedDestroyDoesNotNeedTheLock(t *testing.T) {
	onlyOnce(t)
	name := newPool(t, 1)
	release := holdSlot(t, name)
	file := filepath.Join(t.TempDir(), "order")
	line := lineUp(t, name, file, 3, noFlags)
	unlock := lockLedger(t, name)
	mustRun(t, "destroy", name, "--force")
	wantNothingLeft(t, name)
	wantExit(t, 2, line...)
	unlock()
	release()
}

// If the system lacks a resource, destroy --force fails and does not remove the pool behind
// its waiters' backs.
func TestForcedDestroyTellsTheWaitersOrDoesNothing(t *testing.T) {
	for used := 3; used < 19; used++ {
		name := newPool(t, 1)
		release := holdSlot(t, name)
		waiter := startWaiter(t, name)
		script := fmt.Sprintf("ulimit -n 20; for i in $(seq 3 %d); do eval \"exec $i</dev/null\"; done; exec %s destroy %s --force",
			used, binaries.poolrun, name)
		destroy := command(t, "bash", "-c", script)
		if out, err := destroy.CombinedOutput(); err != nil {
			t.Logf("%d used: %s", used, out)
			mustRun(t, "destroy", name, "--force")
		}
		wantExit(t, 2, waiter)
		release()
	}
}

// If the kernel refuses to remove the names, the pool is as before.
func TestADestroyThatFailsChangesNothing(t *testing.T) {
	name := newPool(t, 1)
	for _, flags := range [][]string{nil, {"--drain"}, {"--force"}} {
		wantResult(t, under(t, "no-unlink", poolrun(t, append([]string{"destroy", name}, flags...)...)), 2, "not permitted")
		wantUsable(t, name)
	}
}

// If a pool's ledger was removed, a semaphore of its name may belong to another program.
func TestForcedDestroyLeavesAForeignSemaphoreAlone(t *testing.T) {
	name := newPool(t, 1)
	os.Remove(semaphoreOf(name))
	mustSem(t, "create", name, "3")
	mustRun(t, "destroy", name, "--force")
	wantRefused(t, "no pool", "destroy", name, "--force")
	if value := mustSem(t, "value", name); value != "3" {
		t.Errorf("value %s", value)
	}
	mustSem(t, "unlink", name)
	wantNothingLeft(t, name)
}

// A slot that a living C program holds is in use, although the ledger does not show it. A
// slot that a C program took and never returned is not.
func TestAPoolIsNotDestroyedUnderACProgram(t *testing.T) {
	name := newPool(t, 2)
	mustSem(t, "wait", name)
	_, release := startSemHolder(t, name, 0)
	wantResult(t, poolrun(t, "destroy", name), 75, name+" is in use")
	wantResult(t, poolrun(t, "destroy", name, "--drain", "--timeout", "20ms"), 75, "in use")

	drain := startDrain(t, name)
	release()
	wantExit(t, 0, drain)
	wantRefused(t, "no pool", "status", name)
}

// The ban on newcomers ends with the process that drains.
func TestAKilledDrainLeavesThePoolOpen(t *testing.T) {
	name := newPool(t, 2)
	release := holdSlot(t, name)
	drain := startDrain(t, name)
	kill(t, drain.Process.Pid)
	drain.Wait()
	mustRun(t, "--pool", name, "-n", "true")
	release()
	wantUsable(t, name)
}
