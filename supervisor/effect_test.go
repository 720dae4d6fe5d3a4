package supervisor

import (
	"os"
	"syscall"
	"testing"
)

func TestEffectOfASignal(t *testing.T) {
	inherit(t, setOf(syscall.SIGHUP, syscall.SIGTSTP), setOf(syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGWINCH, syscall.SIGCHLD, 40))
	other, own := int32(1), int32(os.Getpid())
	for _, test := range []struct {
		name string
		info siginfo
		want effect
	}{
		{"a wake-up", siginfo{}, effectNone},
		{"deadly", siginfo{signal: 15, pid: other}, effectDeath},
		{"deadly, real time", siginfo{signal: 64, code: -1, pid: other}, effectDeath},
		{"from a terminal", siginfo{signal: 2, code: codeKernel}, effectDeath},
		{"a fault's number, from a process", siginfo{signal: 11, pid: other}, effectDeath},
		{"own", siginfo{signal: 13, pid: own}, effectNone},
		{"own, to a thread", siginfo{signal: 23, code: codeTkill, pid: own}, effectNone},
		{"ignored", siginfo{signal: 1, pid: other}, effectNone},
		{"ignored stop", siginfo{signal: 20, pid: other}, effectNone},
		{"stop", siginfo{signal: 21, pid: other}, effectStop},
		{"stop from a terminal", siginfo{signal: 22, code: codeKernel}, effectStop},
		{"blocked", siginfo{signal: 10, pid: other}, effectKept},
		{"blocked, real time", siginfo{signal: 40, pid: other}, effectKept},
		{"blocked and harmless", siginfo{signal: 28, pid: other}, effectKept},
		{"a child's end", siginfo{signal: 17, code: 1, pid: other}, effectNone},
		{"blocked SIGCHLD from a process", siginfo{signal: 17, pid: other}, effectKept},
		{"SIGCONT", siginfo{signal: 18, pid: other}, effectNone},
		{"SIGURG from a process", siginfo{signal: 23, pid: other}, effectNone},
	} {
		if got := effectOf(&test.info); got != test.want {
			t.Errorf("%s: %d instead of %d", test.name, got, test.want)
		}
	}
}

func TestSignalNames(t *testing.T) {
	for n, want := range map[syscall.Signal]string{
		1: "SIGHUP", 9: "SIGKILL", 31: "SIGSYS", 32: "signal 32", 33: "signal 33", 34: "SIGRTMIN+0", 36: "SIGRTMIN+2", 64: "SIGRTMIN+30", 65: "signal 65",
	} {
		if got := SignalName(n); got != want {
			t.Errorf("%d: %s instead of %s", int(n), got, want)
		}
	}
}

func TestSignalSet(t *testing.T) {
	s := setOf(1, 64)
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		if s.has(n) != (n == 1 || n == 64) {
			t.Errorf("%d: %v", int(n), s.has(n))
		}
	}
}
