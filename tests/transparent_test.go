package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Every signal that a process can catch reaches the command, once, as it was sent.
func TestEverySignalReachesTheCommandOnce(t *testing.T) {
	name := newPool(t, 1)
	listener := cProgram(t, "siginfo")
	cmd := poolrun(t, "--pool", name, listener.Path)
	next := startLines(t, cmd)
	if line := next(); line != "ready" {
		t.Fatal(line)
	}
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
		if line, want := next(), fmt.Sprintf("%d 0 0", n); line != want {
			t.Errorf("sent %d, the command got %q", n, line)
		}
	}
	// Those of real time queue, and carry a value.
	for value := range 3 {
		queueSignal(t, cmd.Process.Pid, 40, value)
	}
	for value := range 3 {
		if line, want := next(), fmt.Sprintf("40 -1 %d", value); line != want {
			t.Errorf("%q instead of %q", line, want)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if line := next(); line != "15 0 0" {
		t.Error(line)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
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

// The same for poolrun while it waits: it dies of the signals of which any program would.
func TestEveryDeadlySignalEndsTheWait(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	ignored := ignoredHere(t)
	for n := syscall.Signal(1); n <= 64; n++ {
		switch n {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
			syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH:
			continue
		}
		if ignored>>(n-1)&1 != 0 {
			continue
		}
		cmd := poolrun(t, "--pool", name, "true")
		var said strings.Builder
		cmd.Stderr = &said
		mustStart(t, cmd)
		waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
		for _, harmless := range []syscall.Signal{syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH} {
			cmd.Process.Signal(harmless)
		}
		cmd.Process.Signal(n)
		cmd.Wait()
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != n || said.Len() > 0 {
			t.Errorf("%v: %v %q", n, cmd.ProcessState, said.String())
		}
		if s := statusOf(t, name); s.Waiting != 0 {
			t.Errorf("%v: still in line", n)
		}
	}
	release()
	wantEmpty(t, name)
}

// ignoredHere returns the set of signals that a program inherits as ignored from these
// tests (with the race detector, the C library's own).
func ignoredHere(t *testing.T) (set uint64) {
	t.Helper()
	out, err := command(t, "sed", "-n", "s/^SigIgn:\\t/0x/p", "/proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	scan(t, string(out), &set)
	return set
}

// A signal that was blocked when poolrun started does not end the wait: the command
// finds it pending. So it finds one that was pending already.
func TestABlockedSignalIsPendingForTheCommand(t *testing.T) {
	listener := cProgram(t, "siginfo")
	for _, what := range []string{"blocked", "pending"} {
		name := newPool(t, 1)
		release := holdSlot(t, name)
		cmd := command(t, "changed", what, binaries.poolrun, "--pool", name, "--", listener.Path)
		next := startLines(t, cmd)
		waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
		code := -6 // SI_TKILL
		if what == "blocked" {
			code = 0
			cmd.Process.Signal(syscall.SIGTERM)
		}
		release()
		for _, want := range []string{"ready", fmt.Sprintf("15 %d 0", code)} {
			if line := next(); line != want {
				t.Errorf("%s: %q instead of %q", what, line, want)
			}
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		wantEmpty(t, name)
	}
}

// Commands other than run are killed by a signal while they wait for the ledger lock.
func TestOtherCommandsObeySignals(t *testing.T) {
	name := newPool(t, 1)
	lock, err := os.Open(ledgerOf(name))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status", name}, {"resize", name, "2"}, {"repair", name}, {"destroy", name}, {"destroy", name, "--drain"}} {
		for _, n := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGSEGV, 36} {
			cmd := poolrun(t, args...)
			var said strings.Builder
			cmd.Stderr = &said
			mustStart(t, cmd)
			cmd.Process.Signal(n)
			cmd.Wait()
			if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != n || said.Len() > 0 {
				t.Errorf("%q, %v: %v %q", args, n, cmd.ProcessState, said.String())
			}
		}
	}
}

// As process 1 of a pid namespace, poolrun waits for orphans.
func TestOrphansAreWaitedFor(t *testing.T) {
	name := newPool(t, 1)
	cmd := inside(t, poolrun(t, "--pool", name, "--", "sh", "-c", "(sh -c 'exit 0' & sh -c 'exit 0' &); echo ready; read line"))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	next := startLines(t, cmd)
	next()
	eventually(t, "no child but the command", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		return len(strings.Fields(string(children))) == 1
	})
	stdin.Close()
	cmd.Wait()
	wantEmpty(t, name)
}

// asRoot COMMAND...: takes all ids of root, being set-uid, and then exec's.
func asRoot() {
	check(syscall.Setresuid(0, 0, 0))
	path, err := exec.LookPath(os.Args[1])
	check(err)
	check(syscall.Exec(path, os.Args[1:], os.Environ()))
}

func TestASignalThatCannotBePassedOnIsTold(t *testing.T) {
	name := freeName(t)
	wantSaid(t, asNobody(t, poolrun(t, "init", name, "--size", "1")), 0, "")
	program, err := os.Executable()
	check(err)
	text, err := os.ReadFile(program)
	check(err)
	setuid := filepath.Join(binaries.dir, "as-root")
	check(os.WriteFile(setuid, text, 0o755))
	check(os.Chmod(setuid, 0o755|os.ModeSetuid))
	cmd := asNobody(t, poolrun(t, "--pool", name, "--", setuid, "cat"))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	check(err)
	cmd.Stderr = write
	mustStart(t, cmd)
	write.Close()
	defer read.Close()
	s := waitCommand(t, name)
	pid := s.Holders[0].CommandPID
	eventually(t, "it is root's", func() bool {
		return strings.Contains(readFile(t, fmt.Sprintf("/proc/%d/comm", pid)), "cat")
	})
	for range 2 { // told once
		cmd.Process.Signal(syscall.SIGTERM)
	}
	cmd.Process.Signal(syscall.Signal(37))
	stdin.Close()
	cmd.Wait()
	said := make([]byte, 4096)
	n, _ := read.Read(said)
	text1 := fmt.Sprintf("poolrun: cannot pass SIGTERM on to the command (pid %d): operation not permitted\n", pid)
	text2 := fmt.Sprintf("poolrun: cannot pass SIGRTMIN+3 on to the command (pid %d): operation not permitted\n", pid)
	if got := string(said[:n]); got != text1+text2 {
		t.Errorf("%q", got)
	}
}

// Nothing that can block stands between the end of a command and the release.
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
		waitCommand(t, name)
		stdin.Close()
		waitStatus(t, name, "the slot free: "+what, func(s status) bool { return s.InUse == 0 })
		cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: SIGTERM does not end poolrun", what)
		}
		if code := shellCode(cmd); code != 128+15 {
			t.Errorf("%s: exit code %d", what, code)
		}
		wantEmpty(t, name)
	}
}

// Nor between a deadly signal and the end of the wait.
func TestASignalEndsTheWaitWhoeverReadsStderr(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	cmd := poolrun(t, "--pool", name, "--size", "2", "--verbose", "true")
	_, cmd.Stderr = fullPipe(t)
	mustStart(t, cmd)
	waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
	cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, "its end", func() bool { return isInState(cmd.Process.Pid, 'Z') })
	cmd.Wait()
	if code := shellCode(cmd); code != 128+15 {
		t.Errorf("exit code %d", code)
	}
	release()
	wantEmpty(t, name)
}

// fullPipe returns a pipe to which no more can be written.
func fullPipe(t testing.TB) (read, write *os.File) {
	t.Helper()
	var fds [2]int
	check(unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC))
	for _, size := range []int{4096, 1} {
		for {
			if _, err := unix.Write(fds[1], make([]byte, size)); err != nil {
				break
			}
		}
	}
	check(unix.SetNonblock(fds[1], false))
	read, write = os.NewFile(uintptr(fds[0]), "read"), os.NewFile(uintptr(fds[1]), "write")
	t.Cleanup(func() { read.Close(); write.Close() })
	return read, write
}
