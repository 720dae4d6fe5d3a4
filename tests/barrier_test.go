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
		if left, _ := filepath.Glob("/dev/shm/*" + name[1:] + "*"); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
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
	wantSaid(t, poolrun(t, "barrier", name, "--parties", "2", "--timeout", "10ms"), 75, "not all of 2 parties came to barrier "+name)
	wantSaid(t, poolrun(t, "barrier", name, "--parties", "0"), 2, "parties 0")
	wantSaid(t, poolrun(t, "barrier", name), 2, "missing flags: --parties")
	if left, _ := filepath.Glob("/dev/shm/*" + name[1:] + "*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
