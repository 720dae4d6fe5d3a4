package supervisor

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// startSleep starts a child that sleeps, in a process group of its own or in this process's.
func startSleep(t *testing.T, ownGroup bool) (pid int) {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: ownGroup}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd.Process.Pid
}

func TestAddresseeOfASignal(t *testing.T) {
	if session, _ := unix.Getsid(0); session == os.Getpid() {
		t.Skip("this process leads a session, so a hang-up is for it alone")
	}
	inherit(t, setOf(syscall.SIGUSR2, syscall.SIGCONT), 0)
	same, own := startSleep(t, false), startSleep(t, true)
	const resumer = 5
	killer, self := int32(1), int32(os.Getpid())
	for _, test := range []struct {
		name              string
		info              siginfo
		inGroup, ownGroup int // the addressee of a command in this group, or in its own
	}{
		{"kill", siginfo{signal: 15, pid: killer}, same, own},
		{"kill, real time", siginfo{signal: 40, code: -1, pid: killer}, same, own},
		{"kill of SIGINT", siginfo{signal: 2, pid: killer}, same, own},
		{"Ctrl-C", siginfo{signal: 2, code: codeKernel}, 0, -own},
		{"Ctrl-Z", siginfo{signal: 20, code: codeKernel}, 0, -own},
		{"resized terminal", siginfo{signal: 28, code: codeKernel}, 0, -own},
		{"hang-up", siginfo{signal: 1, code: codeKernel}, 0, -own},
		{"alarm of the kernel", siginfo{signal: 14, code: codeKernel}, same, own},
		{"kill of SIGCONT", siginfo{signal: 18, pid: killer}, same, -own},
		{"the resumer's SIGCONT", siginfo{signal: 18, pid: resumer}, 0, 0},
		{"own", siginfo{signal: 13, pid: self}, 0, 0},
		{"a wake-up", siginfo{}, 0, 0},
		{"a child's end", siginfo{signal: 17, code: 1, pid: killer}, 0, 0},
		{"SIGCHLD from a process", siginfo{signal: 17, pid: killer}, same, own},
		{"own CPU time", siginfo{signal: 24, code: codeKernel}, 0, 0},
		{"SIGXCPU from a process", siginfo{signal: 24, pid: killer}, same, own},
		{"ignored", siginfo{signal: 12, pid: killer}, 0, 0},
	} {
		for pid, want := range map[int]int{same: test.inGroup, own: test.ownGroup} {
			s := supervision{pid: pid, resumer: resumer}
			if got := s.addressee(&test.info, false); got != want {
				t.Errorf("%s: %d instead of %d", test.name, got, want)
			}
		}
	}
	s := supervision{pid: same}
	if got := s.addressee(&siginfo{signal: 2, code: codeKernel}, true); got != same {
		t.Errorf("Ctrl-C when the command has just started: %d", got)
	}
	if got := s.addressee(&siginfo{signal: 12, pid: killer}, true); got != 0 {
		t.Errorf("ignored, when the command has just started: %d", got)
	}
}

// A command in a group that it does not lead gets a terminal's signal alone.
func TestAddresseeInAForeignGroup(t *testing.T) {
	leader := startSleep(t, true)
	member := startSleep(t, true)
	if err := unix.Setpgid(member, leader); err != nil {
		t.Skip(err) // the child has exec'd already
	}
	s := supervision{pid: member}
	if got := s.addressee(&siginfo{signal: 2, code: codeKernel}, false); got != member {
		t.Errorf("%d instead of %d", got, member)
	}
}
