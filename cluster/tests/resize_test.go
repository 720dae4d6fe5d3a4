package tests

import (
	"path/filepath"
	"testing"
)

func TestResizeChangesHowManyRun(t *testing.T) {
	t.Parallel()
	url, file := newPool(t, 1), filepath.Join(t.TempDir(), "order")
	one := holdSlot(t, url)
	cmd, child := prepareScript(t, url, "ready; exec sleep 1000")
	mustStart(t, cmd)
	awaitLine(t, url, 1)
	mustRun(t, "resize", url, "2")
	second := child()
	mustRun(t, "resize", url, "1") // both go on
	s := statusOf(t, url)
	if s.Size != 1 || s.InUse != 2 || s.Available != 0 {
		t.Errorf("%+v", s)
	}
	line := lineUp(t, url, file, 1, noFlags)
	one() // the slot above the size is still held, so nobody may start
	wantBusy(t, url)
	awaitLine(t, url, 1)
	mustRun(t, "resize", url, "0")
	kill(t, second)
	wantExit(t, 128+9, cmd)
	waitStatus(t, url, "a paused pool", func(s status) bool { return s.InUse == 0 && s.Waiting == 1 })
	wantBusy(t, url)
	mustRun(t, "resize", url, "1")
	wantExit(t, 0, line...)
	wantEmpty(t, url)
	for _, size := range []string{"-1", "4097", "x"} {
		wantRefused(t, "size", poolrun(t, "resize", "--", url, size))
	}
}
