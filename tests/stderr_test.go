package tests

import (
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A write to stderr that blocks does not delay the release of the slot.
func TestAStderrThatNobodyReadsKeepsNoSlot(t *testing.T) {
	for _, what := range []string{"a pipe", "a terminal"} {
		name := newPool(t, 1)
		cmd := poolrun(t, "--pool", name, "--verbose", "--", "cat")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if what == "a pipe" {
			_, cmd.Stderr = fullPipe(t)
		} else {
			_, cmd.Stderr = stoppedTerminal(t)
		}
		mustStart(t, cmd)
		waitForCommand(t, name)
		stdin.Close()
		waitStatus(t, name, "the slot free: "+what, func(s status) bool { return s.InUse == 0 })
		cmd.Process.Signal(syscall.SIGTERM)
		wantExit(t, 128+15, cmd)
		wantEmpty(t, name)
	}
}

// A write to stderr that blocks does not keep a signal from ending the wait.
func TestASignalEndsTheWaitWhileStderrIsFull(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	cmd := poolrun(t, "--pool", name, "--size", "2", "--verbose", "true")
	_, cmd.Stderr = fullPipe(t)
	mustStart(t, cmd)
	waitForLine(t, name, 1)
	cmd.Process.Signal(syscall.SIGTERM)
	wantExit(t, 128+15, cmd)
	release()
	wantEmpty(t, name)
}

// fullPipe returns a pipe that has no room left.
func fullPipe(t testing.TB) (read, write *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{4096, 1} {
		for {
			if _, err := unix.Write(fds[1], make([]byte, size)); err != nil {
				break
			}
		}
	}
	if err := unix.SetNonblock(fds[1], false); err != nil {
		t.Fatal(err)
	}
	read, write = os.NewFile(uintptr(fds[0]), "read"), os.NewFile(uintptr(fds[1]), "write")
	t.Cleanup(func() { read.Close(); write.Close() })
	return read, write
}
