package pool

import (
	"os"
	"testing"

	"github.com/poolrun/poolrun/internal/bare"
)

// A pid that has gone to another process names nobody: that one has started since.
func TestAPidIsRunningOnlyWhileItsProcessIs(t *testing.T) {
	pid := int32(os.Getpid())
	var path bare.StatPath
	self, ok := bare.ReadProcess(path.Of(pid))
	if !ok {
		t.Fatal("cannot read the stat file of this process")
	}
	if self.Start > ticks() {
		t.Errorf("started at %d, and now it is %d", self.Start, ticks())
	}
	if !mayRun(pid, ticks()) || !mayRun(pid, self.Start) || !mayRun(pid, 0) {
		t.Error("this process does not run")
	}
	if mayRun(pid, self.Start-1) {
		t.Error("this process ran before it was started")
	}
}
