package supervisor

import (
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// shellCommand returns a Command that runs a script.
func shellCommand(script string) Command {
	return Command{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: Environ()}
}

func mustRun(t *testing.T, c Command) Status {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	status, err := catchSignals(t).Run(c)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func TestRunPassesSignalsOn(t *testing.T) {
	for _, script := range []string{
		`trap "exit 7" USR1; kill -USR1 $PPID; while :; do sleep 0.01; done`,
		`trap "exit 7" 36; kill -36 $PPID; while :; do sleep 0.01; done`,
	} {
		if status := mustRun(t, shellCommand(script)); status.ExitCode() != 7 {
			t.Errorf("%s: %+v", script, status)
		}
	}
}

func TestRunKeepsIgnoredAndBlockedSignals(t *testing.T) {
	inherit(t, setOf(syscall.SIGUSR1), setOf(syscall.SIGUSR2))
	status := mustRun(t, shellCommand(`kill -USR1 $$; kill -USR2 $$; exit 9`))
	if status.ExitCode() != 9 {
		t.Errorf("%+v", status)
	}
}

func TestRunNotesThePID(t *testing.T) {
	var pid atomic.Int32
	polled, calls := 0, 0
	c := shellCommand("sleep 0.1; exit 4")
	c.PID = &pid
	c.Poll = func(pid int) time.Duration {
		polled = pid
		if calls++; calls == 2 {
			return 0
		}
		return time.Millisecond
	}
	if status := mustRun(t, c); status.ExitCode() != 4 {
		t.Errorf("%+v", status)
	}
	if int(pid.Load()) != polled || polled == 0 || calls != 2 {
		t.Errorf("pid %d, polled %d, %d calls", pid.Load(), polled, calls)
	}
}

// After a failure there is no command, and signals stay in the queue.
func TestRunFailsWithoutACommand(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals := catchSignals(t)
	for path, want := range map[string]error{"/nowhere": syscall.ENOENT, "/": syscall.EACCES, "a\x00b": syscall.EINVAL} {
		if _, err := signals.Run(Command{Path: path, Args: []string{"x"}}); !errors.Is(err, want) {
			t.Errorf("%q: %v", path, err)
		}
	}
	signalSelf(t, syscall.SIGTERM)
	marker := t.TempDir() + "/marker"
	if _, err := signals.Run(shellCommand("touch " + marker)); err != (Interrupted{syscall.SIGTERM}) {
		t.Error(err)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("the command ran after a deadly signal")
	}
	signalSelf(t, syscall.SIGUSR1)
	if !signals.isQueued(syscall.SIGUSR1) {
		t.Error("a signal was lost")
	}
}

// A file without "#!" is run by the shell, as execvp(3) does.
func TestRunRunsAPlainScript(t *testing.T) {
	path := t.TempDir() + "/plain"
	writeFile(t, path, "exit $1\n", 0o755)
	if status := mustRun(t, Command{Path: path, Args: []string{"plain", "6"}}); status.ExitCode() != 6 {
		t.Errorf("%+v", status)
	}
}
