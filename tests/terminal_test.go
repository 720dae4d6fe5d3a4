package tests

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is a pty with an interactive shell on it.
type terminal struct {
	t     *testing.T
	pty   *os.File
	lock  sync.Mutex
	shown strings.Builder
}

// openPTY returns both ends of a new pty.
func openPTY(t testing.TB) (pty, tty *os.File) {
	t.Helper()
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pty.Close() })
	if err := unix.IoctlSetPointerInt(int(pty.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(pty.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return pty, tty
}

// stoppedTerminal returns a pty on which Ctrl-S was typed.
func stoppedTerminal(t testing.TB) (pty, tty *os.File) {
	t.Helper()
	pty, tty = openPTY(t)
	if err := unix.IoctlSetInt(int(tty.Fd()), unix.TCXONC, 0); err != nil { // TCOOFF
		t.Fatal(err)
	}
	return pty, tty
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	pty, tty := openPTY(t)
	shell := command(t, "sh", "-i")
	shell.Stdin, shell.Stdout, shell.Stderr = tty, tty, tty
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	mustStart(t, shell)
	term := &terminal{t: t, pty: pty}
	go func() {
		for buffer := make([]byte, 4096); ; {
			n, err := pty.Read(buffer)
			if err != nil {
				return
			}
			term.lock.Lock()
			term.shown.Write(buffer[:n])
			term.lock.Unlock()
		}
	}()
	return term
}

func (term *terminal) typed(text string) {
	term.t.Helper()
	if _, err := term.pty.WriteString(text); err != nil {
		term.t.Fatal(err)
	}
}

func (term *terminal) text() string {
	term.lock.Lock()
	defer term.lock.Unlock()
	return term.shown.String()
}

// lines counts the lines that consist of this text.
func (term *terminal) lines(text string) int {
	return strings.Count("\n"+strings.ReplaceAll(term.text(), "^C", ""), "\n"+text+"\r")
}

func (term *terminal) wait(text string) {
	term.t.Helper()
	eventually(term.t, fmt.Sprintf("%q on the terminal", text), func() bool { return strings.Contains(term.text(), text) })
}

// processes waits for poolrun and its command to be there.
func (term *terminal) processes(name string) (poolrun, command int) {
	term.t.Helper()
	s := waitCommand(term.t, name)
	poolrun, command = s.Holders[0].PID, s.Holders[0].CommandPID
	term.t.Cleanup(func() {
		if term.t.Failed() {
			syscall.Kill(command, syscall.SIGKILL)
		}
	})
	return poolrun, command
}

func isInState(pid int, state byte) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && stateOf(string(text)) == state
}

func TestCtrlCReachesTheCommandOnce(t *testing.T) {
	name := newPool(t, 1)
	term := newTerminal(t)
	term.typed("poolrun --pool " + name + " signals; echo ended-$?\n")
	term.wait("ready\r")
	pid, _ := term.processes(name)
	for key, shown := range map[string]string{"\x03": "interrupt", "\x1c": "quit"} {
		term.typed(key)
		term.wait(shown + "\r")
		// A second one would come before what is sent after it.
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

func TestCtrlZStopsBothAndFgContinuesBoth(t *testing.T) {
	name := newPool(t, 1)
	term := newTerminal(t)
	term.typed("poolrun --pool " + name + " signals; echo ended-$?\n")
	term.wait("ready\r")
	pid, child := term.processes(name)
	for range 2 {
		term.typed("\x1a")
		eventually(t, "both stopped", func() bool { return isInState(pid, 'T') && isInState(child, 'T') })
		if s := statusOf(t, name); s.InUse != 1 {
			t.Error("a stopped command lost its slot")
		}
		term.typed("fg\n")
		// Poolrun passes the SIGCONT on, which it must not do after the next Ctrl-Z.
		eventually(t, "both going on", func() bool {
			waits := readFile(t, fmt.Sprintf("/proc/%d/wchan", pid))
			return isInState(pid, 'S') && !isInState(child, 'T') && (waits == "0" || strings.Contains(waits, "poll"))
		})
	}
	term.wait("continued\r")
	syscall.Kill(pid, syscall.SIGTERM)
	eventually(t, "the command's end", func() bool { return term.lines("terminated") == 1 })
	waitStatus(t, name, "the slot free", func(s status) bool { return s.InUse == 0 })
	wantEmpty(t, name)
}

// Ctrl-C while waiting ends the wait, as it ends any program.
func TestCtrlCEndsTheWait(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	term := newTerminal(t)
	term.typed("poolrun --pool " + name + " true; echo ended-$?\n")
	waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
	term.typed("\x03")
	waitStatus(t, name, "nobody in line", func(s status) bool { return s.Waiting == 0 })
	term.typed("echo next-$?\n")
	term.wait("next-130")
	release()
	wantEmpty(t, name)
}

// One that waits and is stopped keeps its place: when its turn comes it is passed until
// it goes on.
func TestCtrlZWhileWaitingKeepsThePlace(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	term := newTerminal(t)
	term.typed("poolrun --pool " + name + " echo served\n")
	s := waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
	pid := s.Waiters[0].PID
	for range 2 {
		term.typed("\x1a")
		eventually(t, "it stopped", func() bool { return isInState(pid, 'T') })
		if s := statusOf(t, name); s.Waiting != 1 || s.Waiters[0].PID != pid {
			t.Errorf("not in line: %+v", s)
		}
		term.typed("fg\n")
		eventually(t, "it goes on", func() bool { return !isInState(pid, 'T') })
	}
	release()
	term.wait("\nserved\r") // and not the echo of what was typed
	waitStatus(t, name, "nobody", func(s status) bool { return s.InUse == 0 })
	wantEmpty(t, name)
}

// A kill(2) is no Ctrl-C: it has not reached the command, wherever poolrun is.
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

// A command in a process group of its own, as timeout(1) makes one, does not get the
// terminal's signals; poolrun passes them on to its whole group.
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
		eventually(t, "both stopped", func() bool { return isInState(pid, 'T') && isInState(child, 'T') })
		term.typed("fg\n")
		eventually(t, "both going on", func() bool { return !isInState(pid, 'T') && !isInState(child, 'T') })
		term.typed(key)
		eventually(t, "the command's end", func() bool { return statusOf(t, name).InUse == 0 })
		term.typed("echo alive-$((1+1))\n")
		term.wait("alive-2")
		wantEmpty(t, name)
	}
}

// An interactive shell as the command has the terminal, suspends itself with SIGSTOP, and
// has the terminal again when it goes on.
func TestAnInnerShellSuspends(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	name := newPool(t, 1)
	term := newTerminal(t)
	term.typed("poolrun --pool " + name + " bash --norc --noprofile -i\n")
	pid, child := term.processes(name)
	term.typed("echo inner-$((1+1))\n")
	term.wait("inner-2")
	for i := range 2 {
		term.typed("suspend\n")
		eventually(t, "both stopped", func() bool { return isInState(pid, 'T') && isInState(child, 'T') })
		term.typed(fmt.Sprintf("echo outer-$((%d+10))\n", i))
		term.wait(fmt.Sprintf("outer-%d", i+10))
		term.typed("fg\n")
		eventually(t, "both going on", func() bool { return !isInState(pid, 'T') && !isInState(child, 'T') })
		term.typed(fmt.Sprintf("echo again-$((%d+20))\n", i))
		term.wait(fmt.Sprintf("again-%d", i+20))
	}
	term.typed("exit\n")
	waitStatus(t, name, "the slot free", func(s status) bool { return s.InUse == 0 })
	wantEmpty(t, name)
}

// A stopped poolrun is not left behind by a command that goes on without it, or ends.
func TestAStoppedPoolrunFollowsItsCommand(t *testing.T) {
	name := newPool(t, 1)
	term := newTerminal(t)
	term.typed("poolrun --pool " + name + " sleep 1000\n")
	pid, child := term.processes(name)
	for _, n := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGTSTP} {
		syscall.Kill(child, n)
		eventually(t, fmt.Sprint("both stopped by ", n), func() bool { return isInState(pid, 'T') && isInState(child, 'T') })
		syscall.Kill(child, syscall.SIGCONT)
		eventually(t, fmt.Sprint("poolrun going on after ", n), func() bool { return !isInState(pid, 'T') })
	}
	syscall.Kill(child, syscall.SIGSTOP)
	eventually(t, "both stopped", func() bool { return isInState(pid, 'T') })
	syscall.Kill(child, syscall.SIGKILL)
	waitStatus(t, name, "the slot free", func(s status) bool { return s.InUse == 0 })
	wantEmpty(t, name)
}

// Ctrl-Z stops both also in the moment in which the command's process exists and is not
// the command yet.
func TestCtrlZStopsBothAtTheirStart(t *testing.T) {
	name := newPool(t, 1)
	for i := range 300 {
		cmd := mustStart(t, poolrun(t, "--pool", name, "sleep", "1000"))
		pid := cmd.Process.Pid
		for limit := time.Now().Add(30 * time.Second); childOf(pid) == 0 && time.Now().Before(limit); {
		}
		for end := time.Now().Add(time.Duration(i) * time.Microsecond); time.Now().Before(end); {
		}
		syscall.Kill(-pid, syscall.SIGTSTP)
		eventually(t, fmt.Sprint("poolrun stopped, round ", i), func() bool { return isInState(pid, 'T') })
		syscall.Kill(-pid, syscall.SIGKILL)
		cmd.Wait()
	}
	wantUsable(t, name)
}

// A SIGCONT sent to poolrun while that is about to follow its command into a stop is not
// lost: neither stays stopped. (Less than a microsecond remains, which no process can
// close: see stopLike.)
func TestASIGCONTUndoesAStopThatHasNotComeAbout(t *testing.T) {
	name := newPool(t, 1)
	cmd := mustStart(t, poolrun(t, "--pool", name, "sleep", "1000"))
	s := waitCommand(t, name)
	pid := s.Holders[0].CommandPID
	lost := 0
	const rounds = 300
	for i := range rounds {
		n := []syscall.Signal{syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGSTOP}[i%3]
		syscall.Kill(pid, n)
		for end := time.Now().Add(time.Duration(i) * 3 * time.Microsecond); time.Now().Before(end); {
		}
		cmd.Process.Signal(syscall.SIGCONT)
		tries := 0
		eventually(t, "both go on", func() bool {
			if tries++; tries%500 == 0 {
				lost++
				cmd.Process.Signal(syscall.SIGCONT)
			}
			return !isInState(pid, 'T') && !isInState(cmd.Process.Pid, 'T')
		})
	}
	if t.Logf("%d of %d were lost", lost, rounds); lost > rounds/100 {
		t.Errorf("%d of %d were lost", lost, rounds)
	}
	kill(t, pid)
	cmd.Wait()
}

// When a terminal is gone, the kernel sends SIGHUP to the session's leader alone.
func TestTheHangupOfASessionLeaderReachesTheCommand(t *testing.T) {
	name := newPool(t, 1)
	pty, tty := openPTY(t)
	cmd := poolrun(t, "--pool", name, "sh", "-c", "trap 'exit 5' HUP; echo ready >&3; while :; do sleep 0.05; done")
	read, write, err := os.Pipe()
	check(err)
	defer read.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = tty, tty, tty, []*os.File{write}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	mustStart(t, cmd)
	write.Close()
	tty.Close()
	_, err = read.Read(make([]byte, 1))
	check(err)
	pty.Close()
	cmd.Wait()
	if code := shellCode(cmd); code != 5 {
		t.Errorf("exit code %d", code)
	}
	wantEmpty(t, name)
}
