package tests

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/poolrun/poolrun/gate"
)

// wantPresent waits until so many are counted as arrived at a barrier.
func wantPresent(t testing.TB, name string, n int) {
	t.Helper()
	eventually(t, itoa(n)+" at the barrier", func() bool {
		s, err := gate.OpenReadOnly(name + ".arrival")
		if err != nil {
			return n == 0
		}
		defer s.Close()
		value, err := s.Value()
		return err == nil && value == n
	})
}

func TestABarrierHoldsUntilAllHaveArrived(t *testing.T) {
	name := freeName(t)
	for range 3 { // and can be used again
		var parties []*exec.Cmd
		for i := range 3 {
			parties = append(parties, mustStart(t, poolrun(t, "barrier", name, "--parties", "4")))
			wantPresent(t, name, i+1)
		}
		mustRun(t, "barrier", name, "--parties", "4", "--timeout", "20s")
		for _, cmd := range parties {
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		}
		wantNothingLeft(t, name)
	}
}

func TestAKilledPartyDoesNotCount(t *testing.T) {
	name := freeName(t)
	first := mustStart(t, poolrun(t, "barrier", name, "--parties", "3"))
	wantPresent(t, name, 1)
	victim := mustStart(t, poolrun(t, "barrier", name, "--parties", "3"))
	wantPresent(t, name, 2)
	kill(t, victim.Process.Pid)
	victim.Wait()
	second := mustStart(t, poolrun(t, "barrier", name, "--parties", "3"))
	// The third to come finds out that there are but two, and stays.
	eventually(t, "the second asleep", func() bool { return isInState(second.Process.Pid, 'S') })
	wantPresent(t, name, 2)
	mustRun(t, "barrier", name, "--parties", "3", "--timeout", "20s")
	for _, cmd := range []*exec.Cmd{first, second} {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

func TestABarrierThatGivesUp(t *testing.T) {
	name := freeName(t)
	wantSaid(t, poolrun(t, "barrier", name, "--parties", "2", "--timeout", "10ms"), 75, "not all of 2 parties arrived at barrier "+name)
	wantSaid(t, poolrun(t, "barrier", name, "--parties", "0"), 2, "parties 0")
	wantSaid(t, poolrun(t, "barrier", name), 2, "missing flags: --parties")
	wantNothingLeft(t, name)
}

func wantNothingLeft(t testing.TB, name string) {
	t.Helper()
	if left, _ := filepath.Glob("/dev/shm/*" + name[1:] + "*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// The names of a barrier's semaphores can be taken: it neither uses nor removes what is
// not its own.
func TestABarrierUsesOnlyItsOwn(t *testing.T) {
	for _, half := range []string{".arrival", ".release"} {
		name := freeName(t)
		mustRun(t, "init", name+half, "--size", "2")
		wantSaid(t, poolrun(t, "barrier", name, "--parties", "1"), 2, "semaphore "+name+half+" belongs to a pool")
		wantUsable(t, name+half)
		mustRun(t, "destroy", name+half)
		wantNothingLeft(t, name)

		mustSem(t, "create", name+half, "3")
		wantSaid(t, poolrun(t, "barrier", name, "--parties", "1"), 2, "semaphore "+name+half+" belongs to another program")
		if value := mustSem(t, "value", name+half); value != "3" {
			t.Errorf("value %s", value)
		}
		mustSem(t, "unlink", name+half)
		wantNothingLeft(t, name)
	}
	stranger := freeName(t)
	mustStart(t, asUser(t, 39001, 39001, nil, "barrier", stranger, "--parties", "2"))
	wantPresent(t, stranger, 1)
	wantSaid(t, poolrun(t, "barrier", stranger, "--parties", "2"), 2, "who is neither you nor root")
}

// A pool that is destroyed by force takes no barrier's semaphore with it.
func TestABarrierIsNoPool(t *testing.T) {
	name := freeName(t)
	party := mustStart(t, poolrun(t, "barrier", name, "--parties", "2"))
	wantPresent(t, name, 1)
	for _, half := range []string{".arrival", ".release"} {
		wantRefused(t, "belongs to no pool", "init", name+half, "--size", "1")
		wantRefused(t, "no pool", "destroy", "--force", name+half)
	}
	mustRun(t, "barrier", name, "--parties", "2", "--timeout", "20s")
	if err := party.Wait(); err != nil {
		t.Error(err)
	}
	wantNothingLeft(t, name)
}

func TestAllPartiesGiveTheSameNumber(t *testing.T) {
	name := freeName(t)
	first := mustStart(t, poolrun(t, "barrier", name, "--parties", "2"))
	wantPresent(t, name, 1)
	wantSaid(t, poolrun(t, "barrier", name, "--parties", "3", "--timeout", "20s"), 2, "expect 2 parties, not 3")
	wantPresent(t, name, 1)
	mustRun(t, "barrier", name, "--parties", "2", "--timeout", "20s")
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
	// What the dead have said binds nobody.
	dead := mustStart(t, poolrun(t, "barrier", name, "--parties", "2"))
	wantPresent(t, name, 1)
	kill(t, dead.Process.Pid)
	dead.Wait()
	mustRun(t, "barrier", name, "--parties", "1", "--timeout", "20s")
	wantNothingLeft(t, name)
}

func TestBarriersOfNestedNamesAreTwo(t *testing.T) {
	name := freeName(t)
	outer := mustStart(t, poolrun(t, "barrier", name, "--parties", "2"))
	wantPresent(t, name, 1)
	inner := mustStart(t, poolrun(t, "barrier", name+".arrival", "--parties", "2"))
	wantPresent(t, name+".arrival", 1)
	for _, barrier := range []string{name, name + ".arrival"} {
		mustRun(t, "barrier", barrier, "--parties", "2", "--timeout", "20s")
	}
	for _, cmd := range []*exec.Cmd{outer, inner} {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	wantNothingLeft(t, name)
}
