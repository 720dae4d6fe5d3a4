package pool

import (
	"os"
	"testing"
)

// A pid that has gone to another process names nobody: that one has started since.
func TestAPidIsRunningOnlyWhileItsProcessIs(t *testing.T) {
	pid := int32(os.Getpid())
	var path statPath
	self, ok := readStat(path.of(pid))
	if !ok {
		t.Fatal("cannot read the stat file of this process")
	}
	if self.start > ticks() {
		t.Errorf("started at %d, and now it is %d", self.start, ticks())
	}
	if !mayRun(pid, ticks()) || !mayRun(pid, self.start) || !mayRun(pid, 0) {
		t.Error("this process does not run")
	}
	if mayRun(pid, self.start-1) {
		t.Error("this process ran before it was started")
	}
}
