package tests

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Weight, priority and size.

func TestAHeavyCommandTakesItsSlotsAllOrNone(t *testing.T) {
	name := newPool(t, 3)
	if out := mustRun(t, "--pool", name, "--weight", "2", "sh", "-c", "echo $POOLRUN_SLOT $POOLRUN_SLOTS"); out != "0 0,1\n" {
		t.Errorf("%q", out)
	}
	release := holdSlot(t, name)
	if code := exitCode(t, poolrun(t, "--pool", name, "-k", "3", "-n", "true")); code != 75 {
		t.Errorf("three of two: %d", code)
	}
	if s := statusOf(t, name); s.InUse != 1 || s.Available != 2 {
		t.Errorf("status %+v", s)
	}
	if out := mustRun(t, "--pool", name, "-k", "2", "-n", "sh", "-c", "echo $POOLRUN_SLOTS"); out != "1,2\n" {
		t.Errorf("%q", out)
	}
	wantRefused(t, "too few slots", "--pool", name, "--weight", "4", "true")
	release()
	wantUsable(t, name)
}

// A heavy request at the head of the line is not overtaken.
func TestAHeavyCommandIsNotOvertaken(t *testing.T) {
	name := newPool(t, 2)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	line := lineUp(t, name, file, 3, func(i int) []string {
		return []string{"--weight", []string{"2", "1", "1"}[i]}
	})
	if code := exitCode(t, poolrun(t, "--pool", name, "-n", "true")); code != 75 {
		t.Errorf("overtook the line: %d", code)
	}
	if s := statusOf(t, name); s.Waiting != 3 || s.Available != 1 {
		t.Errorf("status %+v", s)
	}
	release()
	for _, cmd := range line {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if got := readFile(t, file); !strings.HasPrefix(got, "0\n") {
		t.Errorf("served in the order %q", got)
	}
	wantUsable(t, name)
}

func TestALowerPriorityNumberGoesFirst(t *testing.T) {
	name := newPool(t, 1)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	priorities := []string{"0", "19", "-20", "0", "-20", "5"}
	line := lineUp(t, name, file, len(priorities), func(i int) []string {
		return []string{"--priority", priorities[i]}
	})
	release()
	for _, cmd := range line {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if got := readFile(t, file); got != "2\n4\n0\n3\n5\n1\n" {
		t.Errorf("served in the order %q", strings.Fields(got))
	}
	wantUsable(t, name)
}

func TestResizeGrowsAndLetsInAsManyAsFit(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	for i := range 4 {
		mustStart(t, poolrun(t, "--pool", name, "sleep", "1000"))
		waitStatus(t, name, "one more in line", func(s status) bool { return s.Waiting == i+1 })
	}
	mustRun(t, "resize", name, "3")
	atWork := func(s status) (n int) {
		for _, h := range s.Holders {
			if h.CommandPID > 0 {
				n++
			}
		}
		return n
	}
	waitStatus(t, name, "three at work", func(s status) bool {
		return atWork(s) == 3 && s.InUse == 3 && s.Waiting == 2
	})
	mustRun(t, "resize", name, "5")
	s := waitStatus(t, name, "five at work", func(s status) bool {
		return atWork(s) == 5 && s.InUse == 5 && s.Waiting == 0
	})
	for _, h := range s.Holders[1:] {
		syscall.Kill(h.CommandPID, syscall.SIGTERM)
	}
	release()
	waitStatus(t, name, "nobody", func(s status) bool { return s.InUse == 0 })
	wantUsable(t, name)
}

func TestResizeShrinksInPeaceAndZeroPauses(t *testing.T) {
	name := newPool(t, 3)
	var releases []func()
	for range 3 {
		releases = append(releases, holdSlot(t, name))
	}
	mustRun(t, "resize", name, "1")
	if s := statusOf(t, name); s.Size != 1 || s.InUse != 3 || s.Available != 0 {
		t.Errorf("status %+v", s)
	}
	for i, release := range releases {
		if code := exitCode(t, poolrun(t, "--pool", name, "-n", "true")); code != 75 {
			t.Errorf("with %d left: %d", 3-i, code)
		}
		release()
	}
	wantUsable(t, name)

	mustRun(t, "resize", name, "0")
	waiter := mustStart(t, poolrun(t, "--pool", name, "--weight", "2", "true"))
	waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
	mustRun(t, "resize", name, "2")
	if err := waiter.Wait(); err != nil {
		t.Error(err)
	}
	wantUsable(t, name)
}

// A waiter that can never be served any more is told.
func TestResizeTellsThoseWhoAreTooHeavyNow(t *testing.T) {
	name := newPool(t, 3)
	release := holdSlot(t, name)
	heavy := poolrun(t, "--pool", name, "--weight", "3", "true")
	var said strings.Builder
	heavy.Stderr = &said
	mustStart(t, heavy)
	waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
	mustRun(t, "resize", name, "2")
	heavy.Wait()
	if code := shellCode(heavy); code != 2 || !contains(said.String(), "too few slots") {
		t.Errorf("%d %s", code, said.String())
	}
	release()
	wantUsable(t, name)
}

// What a C program gives back to a pool that has shrunk is not handed out again.
func TestAShrunkPoolSwallowsWhatForeignersGiveBack(t *testing.T) {
	name := newPool(t, 2)
	mustSem(t, "wait", name)
	mustSem(t, "wait", name)
	mustRun(t, "resize", name, "1")
	mustSem(t, "post", name)
	if s := statusOf(t, name); s.Available != 0 {
		t.Errorf("status %+v", s)
	}
	mustSem(t, "post", name)
	wantUsable(t, name)
}

func TestKilledInResize(t *testing.T) {
	for _, sizes := range [][2]int{{2, 4}, {4, 2}, {4, 0}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			eachStep(t, []string{"gate changed", "size written"}, func(t *testing.T, n int, _ string) bool {
				name := newPool(t, sizes[0])
				release := holdSlot(t, name)
				cmd := crashing(t, n, "resize", name, fmt.Sprint(sizes[1]))
				cmd.Run()
				release()
				s := statusOf(t, name)
				if s.Size != sizes[0] && s.Size != sizes[1] {
					t.Errorf("size %d", s.Size)
				}
				wantEmpty(t, name)
				mustRun(t, "resize", name, "2")
				wantUsable(t, name)
				return wasKilled(cmd)
			})
		})
	}
}
