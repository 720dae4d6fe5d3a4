package tests

import (
	"fmt"
	"testing"
)

// A slot that a C program gives back to a pool that has shrunk is not handed out again.
func TestAShrunkPoolKeepsTheSlotsThatACProgramGivesBack(t *testing.T) {
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

func TestADeathInResizeLeavesTheOldSizeOrTheNew(t *testing.T) {
	onlyOnce(t)
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
