package tests

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestAWeightTakesSeveralSlotsOrNone(t *testing.T) {
	t.Parallel()
	url := newPool(t, 3)
	out, _ := outputs(t, poolrun(t, "--pool", url, "-k", "2", "sh", "-c", "echo $POOLRUN_SLOT $POOLRUN_SLOTS"))
	if out != "0 0,1\n" {
		t.Errorf("%q", out)
	}
	release := holdSlot(t, url, "-k", "2")
	if s := statusOf(t, url); s.InUse != 2 || len(s.Holders) != 1 || !slices.Equal(s.Holders[0].Slots, []int{0, 1}) {
		t.Errorf("%+v", s)
	}
	wantResult(t, poolrun(t, "--pool", url, "-n", "-k", "2", "true"), 75, "no free slot")
	mustRun(t, "--pool", url, "-n", "true")
	release()
	wantEmpty(t, url)
}

// Nobody passes a heavy waiter for a slot that it needs, so that it is served.
func TestALightOneDoesNotPassAHeavyOne(t *testing.T) {
	t.Parallel()
	url, file := newPool(t, 2), filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, url)
	line := lineUp(t, url, file, 2, func(i int) []string { return [][]string{{"-k", "2"}, {"-k", "1"}}[i] })
	wantBusy(t, url)
	release()
	wantExit(t, 0, line...)
	wantOrder(t, file, 0, 1)
	wantEmpty(t, url)
}

func TestAllTakesWhatThePoolHasThen(t *testing.T) {
	t.Parallel()
	url, file := newPool(t, 2), filepath.Join(t.TempDir(), "slots")
	release := holdSlot(t, url)
	all := mustStart(t, poolrun(t, "--pool", url, "-k", "all", "sh", "-c", "echo $POOLRUN_SLOTS >"+file))
	awaitLine(t, url, 1)
	mustRun(t, "resize", url, "3")
	release()
	wantExit(t, 0, all)
	out, _ := outputs(t, command(t, "cat", file))
	if out != "0,1,2\n" {
		t.Errorf("%q", out)
	}
	wantEmpty(t, url)
}

// A weight that can never be had is refused at once, also where the slots are in use.
func TestATooGreatWeightIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	url, large := newPool(t, 2), newPool(t, 200)
	release := holdSlot(t, url)
	wantRefused(t, "too few slots.*has 2.*3 were asked for", poolrun(t, "--pool", url, "-k", "3", "true"))
	release()
	wantRefused(t, "101 were asked for.* at most 100", poolrun(t, "--pool", large, "-k", "101", "true"))
	wantRefused(t, "200 were asked for.* at most 100", poolrun(t, "--pool", large, "-k", "all", "true"))
	mustRun(t, "--pool", large, "-k", "100", "true")
	wantEmpty(t, large)
}

// A waiter for more slots than are left after a shrink can never be served.
func TestAWaiterThatBecomesTooHeavyIsRefused(t *testing.T) {
	t.Parallel()
	url := newPool(t, 2)
	release := holdSlot(t, url)
	heavy := poolrun(t, "--pool", url, "-k", "2", "true")
	done := make(chan struct{})
	go func() { defer close(done); wantResult(t, heavy, 2, "too few slots") }()
	awaitLine(t, url, 1)
	mustRun(t, "resize", url, "1")
	<-done
	release()
	wantEmpty(t, url)
}
