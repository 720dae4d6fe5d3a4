package tests

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The processes of the tests: how they start and end, and what they print.

// poolrun prepares a run of the binary. If the test ends first, the process and all that it has started are
// killed.
func poolrun(t testing.TB, args ...string) *exec.Cmd {
	return command(t, binaries.poolrun, args...)
}

// markVariable marks a process of a test, and all that it starts.
const markVariable = "TEST_MARK"

var marks atomic.Int64

func command(t testing.TB, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d-%d", markVariable, os.Getpid(), marks.Add(1)))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 10 * time.Second // after the end of the process, for its stdout
	t.Cleanup(func() {
		if cmd.Process == nil {
			return
		}
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
		}
		for _, pid := range processesOf(cmd) {
			if exeOf(pid) != binaries.agent {
				syscall.Kill(pid, syscall.SIGCONT)
				syscall.Kill(pid, syscall.SIGKILL)
			} else {
				syscall.Kill(pid, syscall.SIGCONT) // it ends by itself
			}
		}
		if cmd.ProcessState == nil {
			cmd.Wait()
		}
	})
	return cmd
}

// with sets variables, NAME=value each.
func with(cmd *exec.Cmd, variables ...string) *exec.Cmd {
	cmd.Env = append(cmd.Env, variables...)
	return cmd
}

func mustStart(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// mustRun runs poolrun, which must succeed, and returns all that it prints.
func mustRun(t testing.TB, args ...string) string {
	t.Helper()
	var out strings.Builder
	cmd := poolrun(t, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if code := exitCode(t, cmd); code != 0 {
		t.Fatalf("poolrun %q: exit code %d\n%s", args, code, out.String())
	}
	return out.String()
}

// hangs is how long a test waits for what has no reason to wait so long.
const hangs = time.Minute

// waitInTime waits for a process to end. If it does not end in time, the test fails and kills it.
func waitInTime(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	timer := time.AfterFunc(hangs, func() {
		t.Errorf("%q does not end within %v", cmd.Args, hangs)
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	})
	defer timer.Stop()
	cmd.Wait()
}

// exitCode runs a command to its end and returns the code that a shell would show.
func exitCode(t testing.TB, cmd *exec.Cmd) int {
	t.Helper()
	waitInTime(t, mustStart(t, cmd))
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
		waitInTime(t, cmd)
		if got := shellCode(cmd.ProcessState); got != code {
			t.Errorf("%q: exit code %d instead of %d", cmd.Args, got, code)
		}
	}
}

// wantSignal waits for a process, and checks that it dies of this signal.
func wantSignal(t testing.TB, n syscall.Signal, cmd *exec.Cmd) {
	t.Helper()
	waitInTime(t, cmd)
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != n {
		t.Errorf("%q: %v instead of a death by %v", cmd.Args, cmd.ProcessState, n)
	}
}

// wantResult runs a command, and checks its exit code and that what it prints matches a regular expression.
func wantResult(t testing.TB, cmd *exec.Cmd, code int, text string) {
	t.Helper()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if got := exitCode(t, cmd); got != code || !regexp.MustCompile(text).MatchString(out.String()) {
		t.Errorf("%q: exit code %d instead of %d, or no match of %q in what it prints:\n%s", cmd.Args, got, code, text, out.String())
	}
}

// wantRefused runs a command that must fail as poolrun fails: with exit code 2, and on stderr one line that
// matches a regular expression, and perhaps a hint.
func wantRefused(t testing.TB, text string, cmd *exec.Cmd) {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	code := exitCode(t, cmd)
	lines := strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n")
	if code != 2 || !strings.HasPrefix(lines[0], "poolrun: ") || !regexp.MustCompile(text).MatchString(lines[0]) ||
		len(lines) > 2 || len(lines) == 2 && !strings.HasPrefix(lines[1], "hint: ") {
		t.Errorf("%q: exit code %d instead of 2, or not one line that matches %q:\n%s", cmd.Args, code, text, stderr.String())
	}
}

// outputs runs a command, which must succeed, and returns what it writes to stdout and to stderr.
func outputs(t testing.TB, cmd *exec.Cmd) (stdout, stderr string) {
	t.Helper()
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if code := exitCode(t, cmd); code != 0 {
		t.Errorf("%q: exit code %d\n%s", cmd.Args, code, errOut.String())
	}
	return out.String(), errOut.String()
}

// startLines starts a command and returns a function that reads its next line.
func startLines(t testing.TB, cmd *exec.Cmd) (next func() string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	mustStart(t, cmd)
	lines := make(chan string, 1000)
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
		case <-time.After(hangs):
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

// eventually waits until something is seen. The limit only keeps a failing test from hanging.
func eventually(t testing.TB, what string, seen func() bool) {
	t.Helper()
	for end := time.Now().Add(hangs); !seen(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never seen: %s", what)
		}
	}
}

// kill ends processes, and returns when their last threads have ended.
func kill(t testing.TB, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Error(err)
			continue
		}
		defer unix.Close(fd)
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
			t.Error(err)
		}
		defer eventually(t, "the end of a killed process", func() bool {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return n == 1 && err == nil
		})
	}
}

// signalAll sends a signal to processes.
func signalAll(t testing.TB, n syscall.Signal, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, n); err != nil {
			t.Errorf("signal %v to process %d: %v", n, pid, err)
		}
	}
}

// isAlive reports whether a process has not ended. A zombie has.
func isAlive(pid int) bool { return isInState(pid, 'R', 'S', 'D', 'T', 't', 'I') }

// isInState reports whether a process is in one of these states of proc_pid_stat(5).
func isInState(pid int, states ...byte) bool {
	fields := statOf(pid)
	return len(fields) > 0 && slices.Contains(states, fields[0][0])
}

// statOf returns the fields of /proc/PID/stat from the third on: the state, the parent.
func statOf(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}

// waitForState waits until all these processes are in a state.
func waitForState(t testing.TB, state byte, pids ...int) {
	t.Helper()
	eventually(t, fmt.Sprintf("state %c of %v", state, pids), func() bool {
		return !slices.ContainsFunc(pids, func(pid int) bool { return !isInState(pid, state) })
	})
}

// waitForEnd waits until none of these processes is alive.
func waitForEnd(t testing.TB, pids ...int) {
	t.Helper()
	eventually(t, fmt.Sprint("the end of ", pids), func() bool { return !slices.ContainsFunc(pids, isAlive) })
}

// agentOf waits until a run has an agent, and returns its pid.
func agentOf(t testing.TB, cmd *exec.Cmd) (agent int) {
	t.Helper()
	eventually(t, "an agent", func() bool {
		for _, pid := range processesOf(cmd) {
			if exeOf(pid) == binaries.agent {
				agent = pid
				return true
			}
		}
		return false
	})
	return agent
}

// processesOf returns the processes that have the mark of a command in their environment.
func processesOf(cmd *exec.Cmd) []int {
	mark := ""
	for _, entry := range cmd.Env {
		if strings.HasPrefix(entry, markVariable+"=") {
			mark = entry
		}
	}
	return processes(func(pid int) bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		return err == nil && strings.Contains("\x00"+string(text), "\x00"+mark+"\x00")
	})
}

// agentsAndRuns returns the processes that run a binary under test.
func agentsAndRuns() []int {
	return processes(func(pid int) bool { return strings.HasPrefix(exeOf(pid), binaries.dir+"/") })
}

// processes returns the processes for which a function is true.
func processes(is func(pid int) bool) (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && is(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func exeOf(pid int) string {
	exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return exe
}

func commandLine(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.TrimRight(strings.ReplaceAll(string(text), "\x00", " "), " ")
}

// waitStarted waits until another goroutine has started a command.
func waitStarted(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	eventually(t, "a start", func() bool { return len(processesOf(cmd)) > 0 })
	return cmd
}
