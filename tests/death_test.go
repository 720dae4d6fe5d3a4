package tests

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestACommandKeepsItsSlotWhenPoolrunIsKilled(t *testing.T) {
	for what, flags := range map[string][]string{
		"through the descriptor that it inherits": nil,
		"through its pid":                         {"--close"},
	} {
		t.Run(what, func(t *testing.T) {
			name := newPool(t, 1)
			cmd, child := startHolder(t, name, flags...)
			kill(t, cmd.Process.Pid)
			cmd.Wait()
			// In execve(2) the kernel closes the claim's descriptor in the child a moment after
			// the child has become the command (begin_new_exec in fs/exec.c).
			s := waitStatus(t, name, "an orphaned holder", func(s status) bool { return len(s.Holders) == 1 && s.Holders[0].State == "orphaned" })
			if s.InUse != 1 || s.Available != 0 || s.Holders[0].CommandPID != child {
				t.Errorf("status %+v", s)
			}
			wantBusy(t, name)
			kill(t, child)
			waitStatus(t, name, "the slot free again", func(s status) bool { return s.InUse == 0 })
			wantEmpty(t, name)
			if n := statusOf(t, name).Counters; n.Reclaimed != 1 {
				t.Errorf("counters %+v", n)
			}
		})
	}
}

func TestTheSlotOfAKilledPairIsFreeForTheNextArrival(t *testing.T) {
	name := newPool(t, 1)
	cmd, child := startHolder(t, name)
	kill(t, cmd.Process.Pid)
	kill(t, child)
	cmd.Wait()
	wantResult(t, poolrun(t, "--pool", name, "-n", "true"), 0, "")
	wantEmpty(t, name)
}

// A waiter starts soon after the death of a killed holder: a wake-up tells it, not its next
// regular look.
func TestAWaiterStartsSoonAfterAHoldersDeath(t *testing.T) {
	name := newPool(t, 1)
	dir := t.TempDir()
	const rounds = 20
	var worst, sum time.Duration
	for i := range rounds {
		cmd, child := startHolder(t, name)
		started := filepath.Join(dir, strconv.Itoa(i))
		waiter := mustStart(t, poolrun(t, "--pool", name, "touch", started))
		waitForLine(t, name, 1)
		began := time.Now()
		kill(t, cmd.Process.Pid)
		kill(t, child)
		cmd.Wait()
		wantExit(t, 0, waiter)
		took := time.Since(began)
		worst, sum = max(worst, took), sum+took
	}
	t.Logf("from the kill to the end of the next command: mean %v, worst %v", sum/rounds, worst)
	// Other work on the machine may delay a few. If only the regular look noticed the
	// deaths, every one would take half a second.
	if sum/rounds > 100*time.Millisecond {
		t.Errorf("mean %v, worst %v", sum/rounds, worst)
	}
	wantEmpty(t, name)
}

func TestTheDeathOfTheFirstInLineDoesNotHoldUpTheOthers(t *testing.T) {
	name := newPool(t, 1)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	line := lineUp(t, name, file, 3, noFlags)
	kill(t, line[0].Process.Pid)
	line[0].Wait()
	release()
	wantExit(t, 0, line[1:]...)
	wantOrder(t, file, 1, 2)
	wantEmpty(t, name)
}

// Waiters in a long line look at it rarely, and may become first before they look again.
// So a wake-up tells them when the line has become short.
func TestTheDeathOfTheFirstInWhatWasALongLineDoesNotHoldUpTheOthers(t *testing.T) {
	onlyOnce(t)
	name := newPool(t, 1)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	const n = 100
	line := lineUp(t, name, file, n, noFlags)
	for i, cmd := range line[:n-3] {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		waitForLine(t, name, n-1-i)
	}
	// The next regular look of the second may be 20 s away.
	began := time.Now()
	first, second := line[n-3], line[n-2:n-1]
	for asleep := switches(t, second)[0]; switches(t, second)[0] == asleep; {
		time.Sleep(time.Millisecond) // until the wake-up has come, and it sleeps again
	}
	kill(t, first.Process.Pid)
	first.Wait()
	release()
	wantExit(t, 0, line[n-2:]...)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the others waited for %v", took)
	}
	wantEmpty(t, name)
}

// A daemon that the command leaves behind holds no slot once the command has exited.
func TestADaemonThatOutlivesTheCommandHoldsNothing(t *testing.T) {
	name := newPool(t, 1)
	pidFile := filepath.Join(t.TempDir(), "pid")
	mustRun(t, "--pool", name, "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $! > "+pidFile)
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	defer kill(t, pid)
	wantEmpty(t, name)
}

// The command cannot write to the ledger through the guard that it inherits.
func TestTheGuardIsReadOnly(t *testing.T) {
	name := newPool(t, 1)
	out := mustRun(t, "--pool", name, "sh", "-c",
		`for fd in /proc/self/fd/*; do case $(readlink $fd) in */poolrun.*) sed -n 's/^flags:.*\(.\)$/\1/p' /proc/self/fdinfo/${fd##*/};; esac; done`)
	if out != "0\n" { // O_RDONLY
		t.Errorf("%q", out)
	}
}
