package tests

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A living waiter behind any number of dead or stopped waiters takes a free slot within two
// seconds. The limit here is for a busy machine. The faults that it detects made the slot stay
// free for 19 s and more.

const promptly = 10 * time.Second

// wantPrompt checks that waiters get the free slot promptly, one after the other.
func wantPrompt(t testing.TB, waiters ...*exec.Cmd) {
	t.Helper()
	for _, cmd := range waiters {
		waitInTime(t, cmd, promptly)
		wantExit(t, 0, cmd)
	}
}

func TestAFreeSlotIsTakenBehindAnyNumberOfStopped(t *testing.T) {
	for what, prepare := range map[string]func(*exec.Cmd) *exec.Cmd{
		"here":              asIs,
		"in pid namespaces": func(cmd *exec.Cmd) *exec.Cmd { return inside(t, cmd) }, // others do not see that it is stopped
	} {
		t.Run(what, func(t *testing.T) {
			name := newPool(t, 1)
			release := holdSlot(t, name)
			stopped := queue(t, name, 20, prepare)
			living := startWaiter(t, name)
			for _, cmd := range stopped {
				cmd.Process.Signal(syscall.SIGSTOP)
			}
			release()
			wantPrompt(t, living)
			for _, cmd := range stopped {
				cmd.Process.Signal(syscall.SIGCONT)
			}
			wantExit(t, 0, stopped...)
			wantEmpty(t, name)
		})
	}
}

// A resize wakes all waiters, so that they sleep in step. The holder dies without a release,
// so that it wakes no waiter.
func TestAFreeSlotIsTakenBehindAnyNumberOfTheDead(t *testing.T) {
	for _, dead := range []int{2, 59} {
		t.Run(fmt.Sprint(dead, " of 60"), func(t *testing.T) {
			name := newPool(t, 1)
			holder := mustStart(t, poolrun(t, "--pool", name, "sleep", "1000"))
			s := waitForCommand(t, name)
			dying := queue(t, name, dead, asIs)
			living := queue(t, name, 60-dead, asIs)
			mustRun(t, "resize", name, "1")
			end(dying...)
			kill(t, s.Holders[0].CommandPID)
			end(holder)
			wantPrompt(t, living...)
			wantEmpty(t, name)
		})
	}
}

// One process with very many waiters is one sleeper. If it dies or is stopped, the waiters
// behind it do not sleep for long.
func TestAFreeSlotIsTakenBehindACrowdOfOneProcess(t *testing.T) {
	for what, harm := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGSTOP} {
		t.Run(what, func(t *testing.T) {
			const n = 400
			name := newPool(t, 1)
			release := holdSlot(t, name)
			crowd := command(t, "crowd", name, strconv.Itoa(n))
			wantLine(t, startLines(t, crowd), "in line")
			living := mustStart(t, poolrun(t, "--pool", name, "true"))
			waitForLine(t, name, n+1)
			// A process that is stopped with the ledger lock holds up everybody.
			lock := lockLedger(t, name)
			crowd.Process.Signal(harm)
			if harm == syscall.SIGSTOP {
				waitForState(t, 'T', crowd.Process.Pid)
			}
			lock()
			release()
			wantPrompt(t, living)
			end(crowd)
			wantEmpty(t, name)
		})
	}
}

// A waiter that takes the slot instead of the stopped waiters before it does not overtake
// another living waiter.
func TestTheOrderIsKeptBehindManyStopped(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	stopped := queue(t, name, 80, func(cmd *exec.Cmd) *exec.Cmd { return inside(t, cmd) })
	file := filepath.Join(t.TempDir(), "order")
	living := lineUp(t, name, file, 60, noFlags)
	for _, cmd := range stopped {
		cmd.Process.Signal(syscall.SIGSTOP)
	}
	release()
	wantPrompt(t, living...)
	wantOrder(t, file, upTo(60)...)
	end(stopped...)
	wantEmpty(t, name)
}

// status does not show the dead in the middle of the line as waiting.
func TestTheDeadInTheMiddleOfTheLineAreNotShown(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	first := startWaiter(t, name)
	dead := queue(t, name, 40, asIs)
	last := startWaiter(t, name)
	end(dead...)
	s := statusOf(t, name)
	if s.Waiting != 2 || len(s.Waiters) != 2 || s.Waiters[1].PID != last.Process.Pid || s.Counters.Cancelled != 40 {
		t.Errorf("%+v", s)
	}
	release()
	wantExit(t, 0, first, last)
	wantEmpty(t, name)
}

// However many goroutines of a process wait, one thread sleeps.
func TestACrowdOfWaitersNeedsOneThread(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	crowd := command(t, "crowd", name, "300")
	next := startLines(t, crowd)
	next()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", crowd.Process.Pid))
	if err != nil || len(threads) == 0 || len(threads) > 20 {
		t.Errorf("%d threads for 300 waiters, %v", len(threads), err)
	}
	release()
	wantLine(t, next, "all served")
	wantExit(t, 0, crowd)
	wantEmpty(t, name)
}
