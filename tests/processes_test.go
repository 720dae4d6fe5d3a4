package tests

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The processes of the tests: how they start and end, and what they print.

// poolrun prepares a run of the binary. If the test ends first, the process and
// its command are killed.
func poolrun(t testing.TB, args ...string) *exec.Cmd {
	return command(t, binaries.poolrun, args...)
}

func command(t testing.TB, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Env = os.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	t.Cleanup(func() {
		if cmd.Process != nil && (cmd.ProcessState == nil || t.Failed()) {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			if cmd.ProcessState == nil {
				cmd.Wait()
			}
		}
	})
	return cmd
}

// under lets one of the programs of these tests start a command.
func under(t testing.TB, program string, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path, cmd.Args = path, append([]string{path}, cmd.Args...)
	return cmd
}

// mustRun runs poolrun, which must succeed, and returns all that it prints.
func mustRun(t testing.TB, args ...string) string {
	t.Helper()
	out, err := poolrun(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("poolrun %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func mustStart(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// hangs is how long a test waits for the end of a process that has no reason to wait.
const hangs = time.Minute

// waitInTime waits for a process to end. If it does not end in time, the test fails and kills
// it.
func waitInTime(t testing.TB, cmd *exec.Cmd, limit time.Duration) {
	t.Helper()
	timer := time.AfterFunc(limit, func() {
		t.Errorf("%q does not end within %v", cmd.Args, limit)
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	})
	defer timer.Stop()
	cmd.Wait()
}

// exitCode runs a command to its end and returns the code that a shell would show.
func exitCode(t testing.TB, cmd *exec.Cmd) int {
	t.Helper()
	waitInTime(t, mustStart(t, cmd), hangs)
	return shellCode(cmd.ProcessState)
}

// shellCode is the code that a shell shows of a process that has ended.
func shellCode(state *os.ProcessState) int {
	status := state.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// wantExit waits for processes, and checks that each ends with this exit code.
func wantExit(t testing.TB, code int, processes ...*exec.Cmd) {
	t.Helper()
	for _, cmd := range processes {
		waitInTime(t, cmd, hangs)
		if got := shellCode(cmd.ProcessState); got != code {
			t.Errorf("%q: exit code %d instead of %d", cmd.Args, got, code)
		}
	}
}

// wantSignal waits for a process, and checks that it dies of this signal.
func wantSignal(t testing.TB, n syscall.Signal, cmd *exec.Cmd) {
	t.Helper()
	waitInTime(t, cmd, hangs)
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != n {
		t.Errorf("%q: %v instead of a death by %v", cmd.Args, cmd.ProcessState, n)
	}
}

// wantResult runs a command, and checks its exit code and that what it prints matches a
// regular expression.
func wantResult(t testing.TB, cmd *exec.Cmd, code int, text string) {
	t.Helper()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if got := exitCode(t, cmd); got != code || !regexp.MustCompile(text).MatchString(out.String()) {
		t.Errorf("%q: exit code %d instead of %d, or no match of %q in what it prints:\n%s", cmd.Args, got, code, text, out.String())
	}
}

// wantRefused checks that a run fails as poolrun fails: with exit code 2, and on stderr one
// line that matches a regular expression, and perhaps a hint.
func wantRefused(t testing.TB, text string, args ...string) {
	t.Helper()
	cmd := poolrun(t, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	code := exitCode(t, cmd)
	lines := strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n")
	if code != 2 || !strings.HasPrefix(lines[0], "poolrun: ") || !regexp.MustCompile(text).MatchString(lines[0]) ||
		len(lines) > 2 || len(lines) == 2 && !strings.HasPrefix(lines[1], "hint: ") {
		t.Errorf("poolrun %q: exit code %d instead of 2, or not one line that matches %q:\n%s", args, code, text, stderr.String())
	}
}

// outputs runs a command, which must succeed, and returns what it writes to stdout and to
// stderr.
func outputs(t testing.TB, cmd *exec.Cmd) (stdout, stderr string) {
	t.Helper()
	var errOut strings.Builder
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%q: %v\n%s", cmd.Args, err, errOut.String())
	}
	return string(out), errOut.String()
}

// startLines starts a command and returns a function that reads its next line.
func startLines(t testing.TB, cmd *exec.Cmd) (next func() string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	mustStart(t, cmd)
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	return func() string {
		t.Helper()
		select {
		case line := <-lines:
			return line
		case <-time.After(30 * time.Second):
			t.Fatal("no line")
			return ""
		}
	}
}

// wantLine checks the next line of a command.
func wantLine(t testing.TB, next func() string, want string) {
	t.Helper()
	if line := next(); line != want {
		t.Errorf("the line %q instead of %q", line, want)
	}
}

// kill ends a process, and returns when its last thread has ended: until then it has
// its slot.
func kill(t testing.TB, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		t.Error(err)
	}
	eventually(t, "the end of a killed process", func() bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return n == 1 && err == nil
	})
}

// end kills processes and reaps them.
func end(processes ...*exec.Cmd) {
	for _, cmd := range processes {
		cmd.Process.Kill()
	}
	for _, cmd := range processes {
		cmd.Wait()
	}
}

func wasKilled(cmd *exec.Cmd) bool {
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return status.Signaled() && status.Signal() == syscall.SIGKILL
}

// stateOf is the third field of /proc/PID/stat, proc_pid_stat(5).
func stateOf(stat string) byte { return stat[strings.LastIndexByte(stat, ')')+2] }

func isInState(pid int, state byte) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && stateOf(string(text)) == state
}

// waitForState waits until all these processes are in a state of proc_pid_stat(5).
func waitForState(t testing.TB, state byte, pids ...int) {
	t.Helper()
	eventually(t, fmt.Sprintf("state %c of %v", state, pids), func() bool {
		return !slices.ContainsFunc(pids, func(pid int) bool { return !isInState(pid, state) })
	})
}

// waitToGoOn waits until none of these processes is stopped.
func waitToGoOn(t testing.TB, pids ...int) {
	t.Helper()
	eventually(t, fmt.Sprint(pids, " going on"), func() bool {
		return !slices.ContainsFunc(pids, func(pid int) bool { return isInState(pid, 'T') })
	})
}

// childOf returns the pid of a process's first child, 0 for none.
func childOf(pid int) (child int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err == nil {
		fmt.Sscan(string(text), &child)
	}
	return child
}

// hasOpen reports whether a process has a file open.
func hasOpen(pid int, path string) bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	return slices.ContainsFunc(files, func(file string) bool {
		target, _ := os.Readlink(file)
		return target == path
	})
}
