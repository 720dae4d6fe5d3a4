package tests

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// The holders and waiters that most tests need.

// holdSlot starts a command that holds a slot until the returned function is
// called.
func holdSlot(t testing.TB, name string) (release func()) {
	t.Helper()
	before := statusOf(t, name).InUse
	cmd := poolrun(t, "--pool", name, "--", "cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	mustStart(t, cmd)
	waitStatus(t, name, "one more slot in use", func(s status) bool {
		return s.InUse == before+1 && s.Holders[before].CommandPID != 0
	})
	return func() {
		t.Helper()
		stdin.Close()
		wantExit(t, 0, cmd)
	}
}

// startHolder starts a command that runs until it is killed. It returns poolrun and the
// command's pid.
func startHolder(t testing.TB, name string, args ...string) (cmd *exec.Cmd, child int) {
	t.Helper()
	cmd = mustStart(t, poolrun(t, append(append([]string{"--pool", name}, args...), "--", "sleep", "1000")...))
	waitStatus(t, name, "a command running", func(s status) bool {
		for _, h := range s.Holders {
			if h.PID == cmd.Process.Pid {
				child = h.CommandPID
			}
		}
		return child != 0
	})
	t.Cleanup(func() {
		if cmd.ProcessState == nil || t.Failed() {
			syscall.Kill(child, syscall.SIGKILL)
		}
	})
	return cmd, child
}

// startListener starts a shell script in a slot, and returns when the script runs. It
// returns poolrun, its stderr, and functions that send a line to the script and read one.
func startListener(t testing.TB, name, script string) (cmd *exec.Cmd, stderr *strings.Builder, tell func(string), next func() string) {
	t.Helper()
	cmd = poolrun(t, "--pool", name, "sh", "-c", "echo ready; "+script)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr = &strings.Builder{}
	cmd.Stderr = stderr
	next = startLines(t, cmd)
	next()
	return cmd, stderr, func(line string) { io.WriteString(stdin, line+"\n") }, next
}

// queue starts n poolruns that wait, in any order.
func queue(t testing.TB, name string, n int, prepare func(*exec.Cmd) *exec.Cmd) (line []*exec.Cmd) {
	t.Helper()
	before := statusOf(t, name).Waiting
	for range n {
		line = append(line, mustStart(t, prepare(poolrun(t, "--pool", name, "true"))))
	}
	waitForLine(t, name, before+n)
	return line
}

func asIs(cmd *exec.Cmd) *exec.Cmd { return cmd }

// startWaiter starts one poolrun that waits.
func startWaiter(t testing.TB, name string) *exec.Cmd {
	t.Helper()
	return queue(t, name, 1, asIs)[0]
}

// lineUp starts n waiting poolruns one after the other. Each appends its number
// to the file when its turn comes.
func lineUp(t testing.TB, name, file string, n int, flags func(i int) []string) (line []*exec.Cmd) {
	t.Helper()
	before := statusOf(t, name).Waiting
	for i := range n {
		args := append([]string{"--pool", name}, flags(i)...)
		args = append(args, "--", "sh", "-c", fmt.Sprintf("echo %d >> %s", i, file))
		line = append(line, mustStart(t, poolrun(t, args...)))
		waitForLine(t, name, before+i+1)
	}
	return line
}

func noFlags(int) []string { return nil }

// wantOrder checks the order that lineUp's commands have left in the file.
func wantOrder(t testing.TB, file string, want ...int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(string(text)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("served in the order %v instead of %v", got, want)
	}
}

// upTo returns 0 to n-1.
func upTo(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}
