package tests

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A process that was stopped with the ledger lock holds up changes. But no poolrun hangs for
// ever, no slot is lost, and poolrun passes the command's exit code on.
func TestAStuckLedgerLockHangsNobody(t *testing.T) {
	name := newPool(t, 1)
	holder, stderr, tell, _ := startListener(t, name, "read line; exit 5")
	unlock := lockLedger(t, name)
	inTime := mustStart(t, poolrun(t, "--pool", name, "--timeout", "50ms", "true"))
	interrupted := []*exec.Cmd{
		mustStart(t, poolrun(t, "--pool", name, "true")),
		mustStart(t, poolrun(t, "--pool", name, "--nonblock", "true")),
	}
	looking := mustStart(t, poolrun(t, "status", name))
	tell("end")

	wantExit(t, 75, inTime)
	for _, cmd := range interrupted {
		eventually(t, "SIGTSTP caught, the last of the signals", func() bool { return caughtMask(t, cmd.Process.Pid)&(1<<(syscall.SIGTSTP-1)) != 0 })
		cmd.Process.Signal(syscall.SIGTERM)
		wantExit(t, 143, cmd)
	}
	wantExit(t, 2, looking)
	wantExit(t, 5, holder)
	if !strings.Contains(stderr.String(), "cannot ") {
		t.Errorf("the holder did not report that its slot is not free: %q", stderr.String())
	}
	unlock()
	wantUsable(t, name)
}

// On a busy machine, the wait for a stuck ledger lock takes no longer.
func TestBusyProcessesDoNotProlongTheWaitForTheLedgerLock(t *testing.T) {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !all.IsSet(cpu) {
		cpu++
	}
	one.Set(cpu)
	name := newPool(t, 1)
	holder, _, tell, _ := startListener(t, name, "read line; exit 5")
	defer lockLedger(t, name)()
	crowd := []*exec.Cmd{holder}
	for range 4 {
		crowd = append(crowd, mustStart(t, command(t, "sh", "-c", "while :; do :; done")))
	}
	for _, cmd := range crowd {
		if err := unix.SchedSetaffinity(cmd.Process.Pid, &one); err != nil {
			t.Fatal(err)
		}
	}
	tell("end")
	wantExit(t, 5, holder)
}

// A deadline that passes while the ledger lock is taken counts as a timeout, although another
// process removes the waiter from the line.
func TestADeadlineIsCountedAsOneAlsoIfTheLockIsStuck(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	waiter := mustStart(t, poolrun(t, "--pool", name, "--timeout", "2s", "true"))
	waitForLine(t, name, 1)
	unlock := lockLedger(t, name)
	wantExit(t, 75, waiter)
	unlock()
	if s := statusOf(t, name); s.Waiting != 0 || s.Counters.TimedOut != 1 || s.Counters.Cancelled != 0 {
		t.Errorf("%+v", s)
	}
	release()
	wantEmpty(t, name)
}

// A signal kills the commands other than run while they wait for the ledger lock.
func TestOtherCommandsObeySignals(t *testing.T) {
	name := newPool(t, 1)
	lockLedger(t, name)
	for _, args := range [][]string{{"status", name}, {"resize", name, "2"}, {"repair", name}, {"destroy", name}, {"destroy", name, "--drain"}} {
		for _, n := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGSEGV, 36} {
			cmd := poolrun(t, args...)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			mustStart(t, cmd)
			cmd.Process.Signal(n)
			wantSignal(t, n, cmd)
			if stderr.Len() > 0 {
				t.Errorf("%q, %v: %q on stderr", args, n, stderr.String())
			}
		}
	}
}
