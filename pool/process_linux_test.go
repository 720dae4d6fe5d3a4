package pool

import (
	"os"
	"testing"
)

// A pid that has gone to another process names nobody: that one has started since.
func TestAPidIsRunningOnlyWhileItsProcessIs(t *testing.T) {
	pid := int32(os.Getpid())
	self, err := readStat(statPath(pid))
	if err != nil {
		t.Fatal(err)
	}
	if self.start > now() {
		t.Errorf("started at %d, and now it is %d", self.start, now())
	}
	if !isRunning(pid, now()) || !isRunning(pid, self.start) {
		t.Error("this process does not run")
	}
	if isRunning(pid, self.start-1) {
		t.Error("this process ran before it was started")
	}
}
