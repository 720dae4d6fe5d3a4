package tests

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

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
		select {
		case line := <-lines:
			return line
		case <-time.After(30 * time.Second):
			t.Fatal("no line")
			return ""
		}
	}
}

func TestSignalsReachTheCommand(t *testing.T) {
	name := newPool(t, 1)
	cmd := poolrun(t, "--pool", name, "signals", fmt.Sprint(int(syscall.SIGTERM)))
	next := startLines(t, cmd)
	if line := next(); line != "ready" {
		t.Fatal(line)
	}
	for _, n := range []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1,
		syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGTERM,
	} {
		cmd.Process.Signal(n)
		if line := next(); line != n.String() {
			t.Errorf("sent %v, the command got %q", n, line)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	wantEmpty(t, name)
}

// Poolrun lives until its command has ended, whatever the command ignores.
func TestPoolrunWaitsForACommandThatIgnoresItsSignals(t *testing.T) {
	name := newPool(t, 1)
	cmd, _, tell, next := startListener(t, name, `trap "" TERM INT HUP; echo trapped; read line; echo "$line"; exit 7`)
	next()
	for _, n := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		cmd.Process.Signal(n)
	}
	tell("still here")
	if line := next(); line != "still here" {
		t.Error(line)
	}
	cmd.Wait()
	if code := shellCode(cmd); code != 7 {
		t.Errorf("exit code %d", code)
	}
}

func TestPoolrunDiesOfTheCommandsSignal(t *testing.T) {
	name := newPool(t, 1)
	for n := syscall.Signal(1); n <= 31; n++ {
		switch n {
		case syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH: // ignored by default
			continue
		case syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
			continue
		}
		cmd := poolrun(t, "--pool", name, "sh", "-c", fmt.Sprintf("ulimit -c 0; kill -%d $$", n))
		out, _ := cmd.CombinedOutput()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !status.Signaled() || status.Signal() != n || len(out) > 0 {
			t.Errorf("the command died of %v, poolrun ended with %v and said %q", n, cmd.ProcessState, out)
		}
	}
	wantEmpty(t, name)
}

func TestExitCodesOfTheCommandPass(t *testing.T) {
	name := newPool(t, 1)
	for _, code := range []int{0, 1, 2, 75, 124, 126, 127, 128, 130, 254, 255} {
		if got := exitCode(t, poolrun(t, "--pool", name, "sh", "-c", fmt.Sprint("exit ", code))); got != code {
			t.Errorf("exit %d became %d", code, got)
		}
	}
}

func TestADeadlySignalEndsTheWaitAndLeavesTheLine(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	for _, n := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		cmd := poolrun(t, "--pool", name, "true")
		var said strings.Builder
		cmd.Stderr = &said
		mustStart(t, cmd)
		waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
		cmd.Process.Signal(n)
		cmd.Wait()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !status.Signaled() || status.Signal() != n || said.Len() > 0 {
			t.Errorf("%v: %v %q", n, cmd.ProcessState, said.String())
		}
		if s := statusOf(t, name); s.Waiting != 0 {
			t.Errorf("%v: still in line", n)
		}
	}
	release()
	wantEmpty(t, name)
	if n := statusOf(t, name).Counters; n.Cancelled != 4 {
		t.Errorf("counters %+v", n)
	}
}

// What of the caller's state a command can see is the same with poolrun and
// without it.
func TestTheCommandInheritsWhatItWouldWithoutPoolrun(t *testing.T) {
	name := newPool(t, 1)
	look := `
		grep -E "^(Sig(Ign|Blk)|Umask)" /proc/self/status
		ulimit -a; pwd; nice; cat /proc/self/timerslack_ns
		descriptors
		env | grep -v -e ^POOLRUN_ -e ^_= | sort`
	for what, before := range map[string]string{
		"nothing special":             "",
		"ignored":                     `trap "" HUP INT QUIT TERM USR1 USR2 PIPE ALRM WINCH TSTP;`,
		"descriptors 3 to 9":          "exec 3</dev/zero 4>/dev/null 5</etc/passwd 6<&3 7<&3 8<&5 9<&5;",
		"no stdin":                    "exec <&-;",
		"settings of the Go runtime":  "export GOMAXPROCS=7 GOGC=50;",
		"no stderr":                   "exec 2>&-;",
		"limits, umask and niceness":  "ulimit -n 100; ulimit -c 0; umask 027; cd /usr; exec nice -n 3 ",
		"a limit of ten descriptors":  "ulimit -n 20;",
		"the null device three times": "exec </dev/null 2>/dev/null;",
	} {
		with := runShell(t, before, "poolrun --pool "+name+" -- sh -c '"+look+"'")
		without := runShell(t, before, "sh -c '"+look+"'")
		if with != without {
			t.Errorf("%s:\n%s", what, difference(with, without))
		}
	}
}

// Go's own environment lacks what a C program sees: the second of two variables of
// one name, and it has what the entry point put there.
func TestTheEnvironmentPassesToTheLetter(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	env := []string{"A=1", "A=2", "=", "no equals sign", "GOMAXPROCS=3", "", "B="}
	process, err := os.StartProcess(binaries.poolrun,
		[]string{"poolrun", "--pool", newPool(t, 1), "cat", "/proc/self/environ"},
		&os.ProcAttr{Env: env, Files: []*os.File{nil, write, os.Stderr}})
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	out, _ := io.ReadAll(read)
	process.Wait()
	got, _, _ := strings.Cut(string(out), "POOLRUN_")
	if want := strings.Join(env, "\x00") + "\x00"; got != want {
		t.Errorf("%q instead of %q", got, want)
	}
}

// difference shows the lines that are only in one of two texts.
func difference(with, without string) (lines string) {
	for line := range strings.Lines(with) {
		if !strings.Contains(without, line) {
			lines += "with poolrun:    " + line
		}
	}
	for line := range strings.Lines(without) {
		if !strings.Contains(with, line) {
			lines += "without poolrun: " + line
		}
	}
	return lines
}

func runShell(t testing.TB, before, run string) string {
	t.Helper()
	script := before + " " + run
	if !strings.HasSuffix(strings.TrimSpace(before), "-n 3") {
		script = before + " exec " + run
	}
	out, err := command(t, "sh", "-c", script).Output()
	if err != nil {
		t.Errorf("%s: %v", script, err)
	}
	return regexp.MustCompile(`pipe:\[\d+\]`).ReplaceAllString(string(out), "a pipe")
}

func TestStandardInputAndOutputPass(t *testing.T) {
	name := newPool(t, 1)
	cmd := poolrun(t, "--pool", name, "cat")
	cmd.Stdin = strings.NewReader("hello\n")
	if out, err := cmd.Output(); err != nil || string(out) != "hello\n" {
		t.Errorf("%q %v", out, err)
	}
}

func TestNohupAndBackgroundJobsKeepTheirIgnoredSignals(t *testing.T) {
	const sleeper = "poolrun --pool %s sh -c 'echo ready; exec sleep 1000' &"
	for _, test := range []struct {
		what, line string
		ignored    syscall.Signal
	}{
		{"nohup", "nohup " + sleeper, syscall.SIGHUP},
		{"a background job, interrupted", sleeper, syscall.SIGINT},
		{"a background job, told to quit", sleeper, syscall.SIGQUIT},
	} {
		name := newPool(t, 1)
		cmd := command(t, "sh", "-c", fmt.Sprintf(test.line, name)+" wait $!; echo ended $?")
		next := startLines(t, cmd)
		if line := next(); line != "ready" {
			t.Fatal(line)
		}
		s := waitCommand(t, name)
		for _, pid := range []int{s.Holders[0].PID, s.Holders[0].CommandPID} {
			if mask := ignoredMask(t, pid); mask&(1<<(test.ignored-1)) == 0 {
				t.Errorf("%s: process %d does not ignore %v: %x", test.what, pid, test.ignored, mask)
			}
		}
		syscall.Kill(s.Holders[0].PID, test.ignored)
		syscall.Kill(s.Holders[0].PID, syscall.SIGTERM)
		if line := next(); line != "ended 143" {
			t.Errorf("%s: %s", test.what, line)
		}
		cmd.Wait()
	}
}

func ignoredMask(t testing.TB, pid int) uint64 { return signalMask(t, pid, "SigIgn:") }
func caughtMask(t testing.TB, pid int) uint64  { return signalMask(t, pid, "SigCgt:") }

func signalMask(t testing.TB, pid int, field string) (mask uint64) {
	t.Helper()
	for line := range strings.Lines(readFile(t, fmt.Sprintf("/proc/%d/status", pid))) {
		if value, ok := strings.CutPrefix(line, field); ok {
			if _, err := fmt.Sscanf(strings.TrimSpace(value), "%x", &mask); err != nil {
				t.Fatal(err)
			}
		}
	}
	return mask
}
