package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poolrun lives until its command has ended, whatever signals the command ignores.
func TestPoolrunWaitsForACommandThatIgnoresItsSignals(t *testing.T) {
	name := newPool(t, 1)
	cmd, _, tell, next := startListener(t, name, `trap "" TERM INT HUP; echo trapped; read line; echo "$line"; exit 7`)
	next()
	for _, n := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		cmd.Process.Signal(n)
	}
	tell("still here")
	wantLine(t, next, "still here")
	wantExit(t, 7, cmd)
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
			t.Errorf("the command died of %v, poolrun ended with %v and printed %q", n, cmd.ProcessState, out)
		}
	}
	wantEmpty(t, name)
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
		wantLine(t, next, "ready")
		s := waitForCommand(t, name)
		for _, pid := range []int{s.Holders[0].PID, s.Holders[0].CommandPID} {
			if mask := ignoredMask(t, pid); mask&(1<<(test.ignored-1)) == 0 {
				t.Errorf("%s: process %d does not ignore %v: %x", test.what, pid, test.ignored, mask)
			}
		}
		syscall.Kill(s.Holders[0].PID, test.ignored)
		syscall.Kill(s.Holders[0].PID, syscall.SIGTERM)
		if line := next(); line != "ended 143" {
			t.Errorf("%s: %q", test.what, line)
		}
		cmd.Wait()
	}
}

func ignoredMask(t testing.TB, pid int) uint64 { return signalMask(t, pid, "SigIgn:") }
func caughtMask(t testing.TB, pid int) uint64  { return signalMask(t, pid, "SigCgt:") }

func signalMask(t testing.TB, pid int, field string) (mask uint64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field); ok {
			if _, err := fmt.Sscanf(strings.TrimSpace(value), "%x", &mask); err != nil {
				t.Fatal(err)
			}
		}
	}
	return mask
}

// Every signal that a process can catch reaches the command, once, as it was sent.
func TestEverySignalReachesTheCommandOnce(t *testing.T) {
	name := newPool(t, 1)
	listener := cProgram(t, "siginfo")
	cmd := poolrun(t, "--pool", name, listener.Path)
	next := startLines(t, cmd)
	wantLine(t, next, "ready")
	ignored := ignoredHere(t)
	for n := syscall.Signal(1); n <= 64; n++ {
		switch n {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTERM:
			continue
		}
		if ignored>>(n-1)&1 != 0 {
			continue
		}
		cmd.Process.Signal(n)
		wantLine(t, next, fmt.Sprintf("%d 0 0", n))
	}
	// Real-time signals queue, and carry a value.
	for value := range 3 {
		queueSignal(t, cmd.Process.Pid, 40, value)
	}
	for value := range 3 {
		wantLine(t, next, fmt.Sprintf("40 -1 %d", value))
	}
	cmd.Process.Signal(syscall.SIGTERM)
	wantLine(t, next, "15 0 0")
	wantExit(t, 0, cmd)
	wantEmpty(t, name)
}

// queueSignal is sigqueue(3).
func queueSignal(t testing.TB, pid int, n syscall.Signal, value int) {
	t.Helper()
	info := struct {
		signal, errno, code, _ int32
		pid, uid               int32
		value                  int
		_                      [12]uint64
	}{signal: int32(n), code: -1, pid: int32(os.Getpid()), uid: int32(os.Getuid()), value: value}
	if _, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(n), uintptr(unsafe.Pointer(&info))); errno != 0 {
		t.Fatal(errno)
	}
}

// asRoot COMMAND...: being set-uid, takes all ids of root, and becomes the command.
func asRoot() {
	check(syscall.Setresuid(0, 0, 0))
	become(os.Args[1:])
}

func TestASignalThatCannotBePassedOnIsReported(t *testing.T) {
	name := freeName(t)
	wantResult(t, asNobody(t, poolrun(t, "init", name, "--size", "1")), 0, "")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	setuid := filepath.Join(binaries.dir, "as-root")
	if err := os.WriteFile(setuid, text, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(setuid, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	cmd := asNobody(t, poolrun(t, "--pool", name, "--", setuid, "cat"))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = write
	mustStart(t, cmd)
	write.Close()
	defer read.Close()
	s := waitForCommand(t, name)
	pid := s.Holders[0].CommandPID
	eventually(t, "the command running as root", func() bool {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return err == nil && string(comm) == "cat\n"
	})
	for range 2 { // reported once
		cmd.Process.Signal(syscall.SIGTERM)
	}
	cmd.Process.Signal(syscall.Signal(37))
	stdin.Close()
	cmd.Wait()
	stderr := make([]byte, 4096)
	n, _ := read.Read(stderr)
	want := regexp.MustCompile(`^poolrun: cannot .*SIGTERM.* not permitted\npoolrun: cannot .*SIGRTMIN\+3.* not permitted\n$`)
	if !want.Match(stderr[:n]) {
		t.Errorf("%q", stderr[:n])
	}
}
