package tests

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// waitForParties waits until n parties have arrived at a barrier.
func waitForParties(t testing.TB, name string, n int) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " parties at the barrier"), func() bool {
		word, err := os.ReadFile("/dev/shm/sem." + name[1:] + ".arrival")
		if err != nil || len(word) < 4 {
			return n == 0
		}
		return binary.LittleEndian.Uint32(word) == uint32(n)
	})
}

func TestABarrierHoldsUntilAllHaveArrived(t *testing.T) {
	name := freeName(t)
	for range 3 { // a barrier can be used again
		var parties []*exec.Cmd
		for i := range 3 {
			parties = append(parties, mustStart(t, poolrun(t, "barrier", name, "--parties", "4")))
			waitForParties(t, name, i+1)
		}
		mustRun(t, "barrier", name, "--parties", "4", "--timeout", "20s")
		wantExit(t, 0, parties...)
		wantNothingLeft(t, name)
	}
}

func TestAKilledPartyDoesNotCount(t *testing.T) {
	name := freeName(t)
	first := mustStart(t, poolrun(t, "barrier", name, "--parties", "3"))
	waitForParties(t, name, 1)
	victim := mustStart(t, poolrun(t, "barrier", name, "--parties", "3"))
	waitForParties(t, name, 2)
	kill(t, victim.Process.Pid)
	victim.Wait()
	second := mustStart(t, poolrun(t, "barrier", name, "--parties", "3"))
	// It finds that only two parties live, and waits.
	waitForState(t, 'S', second.Process.Pid)
	waitForParties(t, name, 2)
	mustRun(t, "barrier", name, "--parties", "3", "--timeout", "20s")
	wantExit(t, 0, first, second)
}

// The names of a barrier's semaphores can be taken. The barrier neither uses nor removes
// the semaphores of others.
func TestABarrierUsesOnlyItsOwn(t *testing.T) {
	for _, half := range []string{".arrival", ".release"} {
		name := freeName(t)
		mustRun(t, "init", name+half, "--size", "2")
		wantResult(t, poolrun(t, "barrier", name, "--parties", "1"), 2, name+half+" belongs to a pool")
		wantUsable(t, name+half)
		mustRun(t, "destroy", name+half)
		wantNothingLeft(t, name)

		mustSem(t, "create", name+half, "3")
		wantResult(t, poolrun(t, "barrier", name, "--parties", "1"), 2, name+half+" belongs to another program")
		if value := mustSem(t, "value", name+half); value != "3" {
			t.Errorf("value %s", value)
		}
		mustSem(t, "unlink", name+half)
		wantNothingLeft(t, name)
	}
	stranger := freeName(t)
	mustStart(t, asUser(t, 39001, 39001, nil, "barrier", stranger, "--parties", "2"))
	waitForParties(t, stranger, 1)
	wantResult(t, poolrun(t, "barrier", stranger, "--parties", "2"), 2, "belongs to")
}

// destroy --force does not remove a barrier's semaphores.
func TestABarrierIsNoPool(t *testing.T) {
	name := freeName(t)
	party := mustStart(t, poolrun(t, "barrier", name, "--parties", "2"))
	waitForParties(t, name, 1)
	for _, half := range []string{".arrival", ".release"} {
		wantRefused(t, "semaphore", "init", name+half, "--size", "1")
		wantRefused(t, "no pool", "destroy", "--force", name+half)
	}
	mustRun(t, "barrier", name, "--parties", "2", "--timeout", "20s")
	wantExit(t, 0, party)
	wantNothingLeft(t, name)
}

func TestAllPartiesGiveTheSameNumber(t *testing.T) {
	name := freeName(t)
	first := mustStart(t, poolrun(t, "barrier", name, "--parties", "2"))
	waitForParties(t, name, 1)
	wantResult(t, poolrun(t, "barrier", name, "--parties", "3", "--timeout", "20s"), 2, "2 parties.* 3")
	waitForParties(t, name, 1)
	mustRun(t, "barrier", name, "--parties", "2", "--timeout", "20s")
	wantExit(t, 0, first)
	// The number that a dead party gave does not count.
	dead := mustStart(t, poolrun(t, "barrier", name, "--parties", "2"))
	waitForParties(t, name, 1)
	kill(t, dead.Process.Pid)
	dead.Wait()
	mustRun(t, "barrier", name, "--parties", "1", "--timeout", "20s")
	wantNothingLeft(t, name)
}

func TestBarriersOfNestedNamesAreTwo(t *testing.T) {
	name := freeName(t)
	outer := mustStart(t, poolrun(t, "barrier", name, "--parties", "2"))
	waitForParties(t, name, 1)
	inner := mustStart(t, poolrun(t, "barrier", name+".arrival", "--parties", "2"))
	waitForParties(t, name+".arrival", 1)
	for _, barrier := range []string{name, name + ".arrival"} {
		mustRun(t, "barrier", barrier, "--parties", "2", "--timeout", "20s")
	}
	wantExit(t, 0, outer, inner)
	wantNothingLeft(t, name)
}
