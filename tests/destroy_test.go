package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Those who wait are told when the pool goes; those who hold run on.
func TestForcedDestroyTellsTheWaiters(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	var waiters []*exec.Cmd
	for i := range 3 {
		waiters = append(waiters, mustStart(t, poolrun(t, "--pool", name, "true")))
		waitStatus(t, name, "one more in line", func(s status) bool { return s.Waiting == i+1 })
	}
	if code := exitCode(t, poolrun(t, "destroy", name)); code != 75 {
		t.Errorf("destroy of a pool in use: %d", code)
	}
	mustRun(t, "destroy", name, "--force")
	// A new pool of that name is another pool.
	mustRun(t, "init", name, "--size", "1")
	mustRun(t, "--pool", name, "-n", "true")
	for _, cmd := range waiters {
		cmd.Wait()
		if code := shellCode(cmd); code != 2 {
			t.Errorf("a waiter ended with %d", code)
		}
	}
	release()
	wantEmpty(t, name)
}

// A process that is stopped in a change cannot keep a pool from being removed, nor its
// waiters from being told.
func TestForcedDestroyDoesNotNeedTheLock(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	file := filepath.Join(t.TempDir(), "order")
	line := lineUp(t, name, file, 3, noFlags)
	ledger, err := os.Open(ledgerOf(name))
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	if err := syscall.Flock(int(ledger.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "destroy", name, "--force")
	wantNothingLeft(t, name)
	for _, cmd := range line {
		cmd.Wait()
		if code := shellCode(cmd); code != 2 {
			t.Errorf("a waiter ended with %d", code)
		}
	}
	ledger.Close()
	release()
}

// A shortage of the system's is no reason to remove a pool without a word to its waiters.
func TestForcedDestroyTellsTheWaitersOrDoesNothing(t *testing.T) {
	for used := 3; used < 19; used++ {
		name := newPool(t, 1)
		release := holdSlot(t, name)
		waiter := mustStart(t, poolrun(t, "--pool", name, "true"))
		waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
		script := fmt.Sprintf("ulimit -n 20; for i in $(seq 3 %d); do eval \"exec $i</dev/null\"; done; exec %s destroy %s --force",
			used, binaries.poolrun, name)
		destroy := command(t, "bash", "-c", script)
		if out, err := destroy.CombinedOutput(); err != nil {
			t.Logf("%d used: %s", used, out)
			mustRun(t, "destroy", name, "--force")
		}
		eventually(t, "the end of the wait", func() bool { return isInState(waiter.Process.Pid, 'Z') })
		if waiter.Wait(); shellCode(waiter) != 2 {
			t.Errorf("%d used: the waiter ended with %d", used, shellCode(waiter))
		}
		release()
	}
}

// If the kernel does not let the names go after all, nothing has happened to the pool.
func TestADestroyThatFailsChangesNothing(t *testing.T) {
	name := newPool(t, 1)
	for _, flags := range [][]string{nil, {"--drain"}, {"--force"}} {
		wantSaid(t, under(t, "no-unlink", poolrun(t, append([]string{"destroy", name}, flags...)...)), 2, "operation not permitted")
		wantUsable(t, name)
	}
}

// Where a pool's ledger was removed, its name may be another program's by now.
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

func TestDrainServesThoseInLineAndAdmitsNobodyNew(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	waiter := mustStart(t, poolrun(t, "--pool", name, "true"))
	waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })

	if code := exitCode(t, poolrun(t, "destroy", name, "--drain", "--timeout", "20ms")); code != 75 {
		t.Errorf("a drain that gave up: %d", code)
	}
	if code := exitCode(t, poolrun(t, "--pool", name, "-n", "true")); code != 75 {
		t.Errorf("after a drain that gave up: %d", code)
	}

	drain := mustStart(t, poolrun(t, "destroy", name, "--drain"))
	eventually(t, "newcomers refused", func() bool {
		return exitCode(t, poolrun(t, "--pool", name, "-n", "true")) == 2
	})
	release()
	if err := waiter.Wait(); err != nil {
		t.Error(err)
	}
	eventually(t, "the end of the drain", func() bool { return isInState(drain.Process.Pid, 'Z') })
	if err := drain.Wait(); err != nil {
		t.Error(err)
	}
	wantRefused(t, "no pool", "status", name)
}

// A slot that a C program holds is in use, though no ledger says so. One that it took and
// never returned is not.
func TestAPoolIsNotDestroyedUnderACProgram(t *testing.T) {
	name := newPool(t, 2)
	mustSem(t, "wait", name)
	holder := sem(t, "hold", name, "cat")
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	mustStart(t, holder)
	waitStatus(t, name, "both taken", func(s status) bool { return s.Available == 0 })
	wantSaid(t, poolrun(t, "destroy", name), 75, "pool "+name+" is in use")
	wantSaid(t, poolrun(t, "destroy", name, "--drain", "--timeout", "20ms"), 75, "still in use")

	drain := mustStart(t, poolrun(t, "destroy", name, "--drain"))
	eventually(t, "newcomers refused", func() bool {
		return exitCode(t, poolrun(t, "--pool", name, "-n", "true")) == 2
	})
	stdin.Close()
	if err := holder.Wait(); err != nil {
		t.Error(err)
	}
	eventually(t, "the end of the drain", func() bool { return isInState(drain.Process.Pid, 'Z') })
	if err := drain.Wait(); err != nil {
		t.Error(err)
	}
	wantRefused(t, "no pool", "status", name)
}

// The ban on newcomers ends with whoever imposed it.
func TestAKilledDrainLeavesThePoolOpen(t *testing.T) {
	name := newPool(t, 2)
	release := holdSlot(t, name)
	drain := mustStart(t, poolrun(t, "destroy", name, "--drain"))
	eventually(t, "newcomers refused", func() bool {
		return exitCode(t, poolrun(t, "--pool", name, "-n", "true")) == 2
	})
	kill(t, drain.Process.Pid)
	drain.Wait()
	mustRun(t, "--pool", name, "-n", "true")
	release()
	wantUsable(t, name)
}
