package tests

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestCtrlCReachesTheCommandOnce(t *testing.T) {
	name := newPool(t, 1)
	term := newTerminal(t)
	term.typed("poolrun --pool " + name + " signals; echo ended-$?\n")
	term.wait("ready\r")
	pid, _ := term.processes(name)
	for key, shown := range map[string]string{"\x03": "interrupt", "\x1c": "quit"} {
		term.typed(key)
		term.wait(shown + "\r")
		// A second delivery would come before the SIGUSR1.
		before := term.lines("user defined signal 1")
		syscall.Kill(pid, syscall.SIGUSR1)
		eventually(t, "SIGUSR1", func() bool { return term.lines("user defined signal 1") > before })
		if n := strings.Count(term.text(), shown); n != 1 {
			t.Errorf("%s was delivered %d times:\n%s", shown, n, term.text())
		}
	}
	syscall.Kill(pid, syscall.SIGTERM)
	term.wait("ended-0")
	wantEmpty(t, name)
}

// Ctrl-C ends the wait, as it ends any program.
func TestCtrlCEndsTheWait(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	term := newTerminal(t)
	term.typed("poolrun --pool " + name + " true; echo ended-$?\n")
	waitForLine(t, name, 1)
	term.typed("\x03")
	waitForLine(t, name, 0)
	term.typed("echo next-$?\n")
	term.wait("next-130")
	release()
	wantEmpty(t, name)
}

// A signal from kill(2) is not a Ctrl-C: the command has not got it. So poolrun passes it on,
// in the foreground too.
func TestAKilledForegroundPoolrunPassesTheSignalOn(t *testing.T) {
	name := newPool(t, 1)
	term := newTerminal(t)
	term.typed("poolrun --pool " + name + " signals; echo ended-$?\n")
	term.wait("ready\r")
	pid, _ := term.processes(name)
	for n, shown := range map[syscall.Signal]string{syscall.SIGINT: "interrupt", syscall.SIGQUIT: "quit", syscall.SIGHUP: "hangup"} {
		syscall.Kill(pid, n)
		eventually(t, shown, func() bool { return term.lines(shown) == 1 })
	}
	syscall.Kill(pid, syscall.SIGTERM)
	term.wait("ended-0")
	wantEmpty(t, name)
}

// A command in a process group of its own, such as timeout(1), does not get the terminal's
// signals. poolrun passes them on to the whole group.
func TestTheTerminalsSignalsReachACommandOfAnotherGroup(t *testing.T) {
	for _, key := range []string{"\x03", "\x1c"} {
		name := newPool(t, 1)
		term := newTerminal(t)
		term.typed("poolrun --pool " + name + " timeout 1000 sh -c 'echo ready; sleep 1000'\n")
		term.wait("ready\r")
		pid, child := term.processes(name)
		t.Cleanup(func() {
			if t.Failed() {
				syscall.Kill(-child, syscall.SIGKILL)
			}
		})
		term.typed("\x1a")
		waitForState(t, 'T', pid, child)
		term.typed("fg\n")
		waitToGoOn(t, pid, child)
		term.typed(key)
		waitStatus(t, name, "the command's end", func(s status) bool { return s.InUse == 0 })
		term.typed("echo alive-$((1+1))\n")
		term.wait("alive-2")
		wantEmpty(t, name)
	}
}

// When a terminal is closed, the kernel sends SIGHUP to the session's leader alone.
func TestTheHangupOfASessionLeaderReachesTheCommand(t *testing.T) {
	name := newPool(t, 1)
	pty, tty := openPTY(t)
	cmd := poolrun(t, "--pool", name, "sh", "-c", "trap 'exit 5' HUP; echo ready >&3; while :; do sleep 0.05; done")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = tty, tty, tty, []*os.File{write}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	mustStart(t, cmd)
	write.Close()
	tty.Close()
	_, err = read.Read(make([]byte, 1))
	if err != nil {
		t.Fatal(err)
	}
	pty.Close()
	wantExit(t, 5, cmd)
	wantEmpty(t, name)
}
