package tests

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

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
	return startTerminal(t, "sh", "-i")
}

func startTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	pty, tty := openPTY(t)
	shell := command(t, args[0], args[1:]...)
	shell.Stdin, shell.Stdout, shell.Stderr = tty, tty, tty
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	mustStart(t, shell)
	term := &terminal{t: t, pty: pty}
	go term.read()
	return term
}

// read notes what is shown, until the terminal is closed.
func (term *terminal) read() {
	for buffer := make([]byte, 4096); ; {
		n, err := term.pty.Read(buffer)
		if err != nil {
			return
		}
		term.lock.Lock()
		term.shown.Write(buffer[:n])
		term.lock.Unlock()
	}
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

// processes waits until poolrun runs its command, and returns their pids.
func (term *terminal) processes(name string) (poolrun, command int) {
	term.t.Helper()
	s := waitForCommand(term.t, name)
	poolrun, command = s.Holders[0].PID, s.Holders[0].CommandPID
	term.t.Cleanup(func() {
		if term.t.Failed() {
			syscall.Kill(command, syscall.SIGKILL)
		}
	})
	return poolrun, command
}
