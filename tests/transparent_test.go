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

// While poolrun waits, it dies of the signals of which any program dies, and leaves the line.
func TestEveryDeadlySignalEndsTheWait(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	ignored := ignoredHere(t)
	sent := uint64(0)
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
		waitForLine(t, name, 1)
		for _, harmless := range []syscall.Signal{syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH} {
			cmd.Process.Signal(harmless)
		}
		cmd.Process.Signal(n)
		wantSignal(t, n, cmd)
		sent++
		if s := statusOf(t, name); s.Waiting != 0 || s.Counters.Cancelled != sent || said.Len() > 0 {
			t.Errorf("%v: %q on stderr, status %+v", n, said.String(), s)
		}
	}
	release()
	wantEmpty(t, name)
}

// ignoredHere returns the set of signals that a program inherits as ignored from this test.
// With the race detector, the C library ignores some.
func ignoredHere(t *testing.T) (set uint64) {
	t.Helper()
	out, err := command(t, "sed", "-n", "s/^SigIgn:\\t/0x/p", "/proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(out), &set); err != nil {
		t.Fatal(err)
	}
	return set
}

// A signal that was blocked when poolrun started does not end the wait, whether it came before
// or after that. The command finds it pending.
func TestABlockedSignalIsPendingForTheCommand(t *testing.T) {
	listener := cProgram(t, "siginfo")
	for _, what := range []string{"blocked", "pending"} {
		name := newPool(t, 1)
		release := holdSlot(t, name)
		cmd := command(t, "changed", what, binaries.poolrun, "--pool", name, "--", listener.Path)
		next := startLines(t, cmd)
		waitForLine(t, name, 1)
		code := -6 // SI_TKILL
		if what == "blocked" {
			code = 0
			cmd.Process.Signal(syscall.SIGTERM)
		}
		release()
		for _, want := range []string{"ready", fmt.Sprintf("15 %d 0", code)} {
			wantLine(t, next, want)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		wantEmpty(t, name)
	}
}

// As process 1 of a pid namespace, poolrun reaps orphans.
func TestOrphansAreWaitedFor(t *testing.T) {
	name := newPool(t, 1)
	cmd := inside(t, poolrun(t, "--pool", name, "--", "sh", "-c", "(sh -c 'exit 0' & sh -c 'exit 0' &); echo ready; read line"))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	next := startLines(t, cmd)
	next()
	eventually(t, "no child except the command", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		return len(strings.Fields(string(children))) == 1
	})
	stdin.Close()
	cmd.Wait()
	wantEmpty(t, name)
}

// asRoot COMMAND...: being set-uid, takes all ids of root, and becomes the command.
func asRoot() {
	check(syscall.Setresuid(0, 0, 0))
	become(os.Args[1:])
}

func TestASignalThatCannotBePassedOnIsTold(t *testing.T) {
	name := freeName(t)
	wantSaid(t, asNobody(t, poolrun(t, "init", name, "--size", "1")), 0, "")
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
	said := make([]byte, 4096)
	n, _ := read.Read(said)
	want := regexp.MustCompile(`^poolrun: cannot .*SIGTERM.* not permitted\npoolrun: cannot .*SIGRTMIN\+3.* not permitted\n$`)
	if !want.Match(said[:n]) {
		t.Errorf("%q", said[:n])
	}
}
