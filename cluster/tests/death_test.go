package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAKilledWaiterLeavesTheLineAtOnce(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	release := holdSlot(t, url)
	cmd := mustStart(t, poolrun(t, "--pool", url, "true"))
	awaitLine(t, url, 1)
	agent := agentOf(t, cmd)
	kill(t, cmd.Process.Pid)
	within(t, soon, "leaving the line", func() { awaitLine(t, url, 0) })
	waitForEnd(t, agent)
	release()
	wantEmpty(t, url)
}

// A command whose poolrun is killed keeps its slot until it ends, and then the slot is free at once: long
// before its lease would run out.
func TestACommandKeepsItsSlotWhenPoolrunIsKilled(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{nil, {"--close"}, {"--wait-tree"}} {
		url := newPool(t, 1)
		cmd, child := startHolder(t, url, flags...)
		agent := agentOf(t, cmd)
		kill(t, cmd.Process.Pid)
		wantExit(t, 128+9, cmd)
		s := waitStatus(t, url, "an orphaned holder", func(s status) bool { return len(s.Holders) == 1 && s.Holders[0].State == "orphaned" })
		if pid := s.Holders[0].CommandPID; pid == nil || *pid != child {
			t.Errorf("%q: %+v", flags, s)
		}
		wantBusy(t, url)
		next := mustStart(t, poolrun(t, "--pool", url, "true"))
		awaitLine(t, url, 1)
		kill(t, child)
		within(t, soon, fmt.Sprintf("%q: the start of the next", flags), func() { wantExit(t, 0, next) })
		wantEmpty(t, url)
		waitForEnd(t, agent)
	}
}

// What the command has left behind keeps the slot too, as long as it has the guard.
func TestAnOrphanKeepsTheSlotThroughTheGuard(t *testing.T) {
	t.Parallel()
	url, file := newPool(t, 1), filepath.Join(t.TempDir(), "left")
	cmd, child := startScript(t, url, fmt.Sprintf("sleep 1000 & echo $! >%s; ready; exec sleep 1000", file))
	text, err := os.ReadFile(file)
	must(t, err)
	left, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(t, err)
	kill(t, cmd.Process.Pid, child)
	wantExit(t, 128+9, cmd)
	waitStatus(t, url, "an orphaned holder", func(s status) bool { return len(s.Holders) == 1 && s.Holders[0].State == "orphaned" })
	wantBusy(t, url)
	kill(t, left)
	within(t, soon, "the end of the slot", func() { waitUntilEmpty(t, url) })
}

func TestTheSlotOfAKilledPairIsFreeAtOnce(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	cmd, child := startHolder(t, url)
	next := mustStart(t, poolrun(t, "--pool", url, "true"))
	awaitLine(t, url, 1)
	kill(t, cmd.Process.Pid, child)
	within(t, soon, "the start of the next", func() { wantExit(t, 0, next) })
	wantExit(t, 128+9, cmd)
	wantEmpty(t, url)
}

// With --die-with-parent, nothing outlives poolrun.
func TestTheCommandCanDieWithPoolrun(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	cmd, child := startHolder(t, url, "--die-with-parent")
	kill(t, cmd.Process.Pid)
	within(t, soon, "the end of the command", func() { waitForEnd(t, child); waitUntilEmpty(t, url) })
	wantExit(t, 128+9, cmd)
}

// An agent that is killed while its poolrun stands in line costs it nothing.
func TestAWaiterKeepsItsPlaceWhenItsAgentIsKilled(t *testing.T) {
	t.Parallel()
	url, file := newPool(t, 1), filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, url)
	line := lineUp(t, url, file, 3, noFlags)
	for _, waiter := range []int{0, 1} {
		old := agentOf(t, line[waiter])
		kill(t, old)
		eventually(t, "another agent", func() bool { agent := agentOf(t, line[waiter]); return agent != old })
	}
	s := waitStatus(t, url, "3 in line as before", func(s status) bool { return s.Waiting == 3 })
	for i, w := range s.Waiters {
		if w.PID != line[i].Process.Pid {
			t.Errorf("waiter %d: %+v", i+1, w)
		}
	}
	release()
	wantExit(t, 0, line...)
	wantOrder(t, file, 0, 1, 2)
	wantEmpty(t, url)
}

// An agent that is killed while the command runs is replaced, as often as that happens, before the lease
// runs out: the slot stays held, and evict reaches the command.
func TestAnotherAgentAdoptsTheLease(t *testing.T) {
	t.Parallel()
	const lease = 8 * time.Second
	url := newPool(t, 1, "--lease", lease.String())
	cmd, child := startHolder(t, url)
	overlap := filepath.Join(t.TempDir(), "overlap")
	next := startWitness(t, url, child, overlap)
	awaitLine(t, url, 1)
	for end := time.Now().Add(lease + lease/2); time.Now().Before(end); {
		old := agentOf(t, cmd)
		kill(t, old)
		eventually(t, "another agent", func() bool { agent := agentOf(t, cmd); return agent != old })
		time.Sleep(lease / 4) // which is not waited for: it is how often agents are killed
	}
	if !isAlive(child) || !isAlive(next.Process.Pid) {
		t.Error("the command, or the next in line, has ended")
	}
	mustRun(t, "evict", url, "--slot", "0", "--signal", "KILL")
	wantSignal(t, syscall.SIGKILL, cmd)
	within(t, soon, "the start of the next", func() { wantExit(t, 0, next) })
	wantNoOverlap(t, overlap)
	wantEmpty(t, url)
}

// Without poolrun and without its agent, the lease runs out although the command lives. This is the only gap
// on a machine that is up, and docs/cluster.md tells of it.
func TestAKilledPoolrunAndAgentLeaveTheSlotToTheLease(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{nil, {"--die-with-parent"}, {"--no-fork"}} {
		t.Run(fmt.Sprint(flags), func(t *testing.T) {
			t.Parallel()
			url := newPool(t, 1, "--lease", "5s")
			cmd, child := startHolder(t, url, flags...)
			next := mustStart(t, poolrun(t, "--pool", url, "true"))
			awaitLine(t, url, 1)
			agent := agentOf(t, cmd)
			if child == cmd.Process.Pid { // with --no-fork
				kill(t, agent)
			} else {
				stopped := cmd.Process.Pid
				signalAll(t, syscall.SIGSTOP, stopped) // or it would replace the agent
				waitForState(t, 'T', stopped)
				kill(t, agent, stopped)
			}
			wantExit(t, 0, next)
			if dies := len(flags) > 0 && flags[0] == "--die-with-parent"; isAlive(child) == dies {
				t.Errorf("the command is alive: %t", !dies)
			}
			waitUntilEmpty(t, url)
		})
	}
}

// A run that is killed as a whole costs others no more than the lease.
func TestADeadMachineReturnsItsSlots(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1, "--lease", "5s")
	cmd, child := startHolder(t, url)
	waiter := mustStart(t, poolrun(t, "--pool", url, "true"))
	awaitLine(t, url, 1)
	next := mustStart(t, poolrun(t, "--pool", url, "true"))
	awaitLine(t, url, 2)
	var all []int
	for _, run := range []*exec.Cmd{cmd, waiter} {
		all = append(all, run.Process.Pid, agentOf(t, run))
	}
	signalAll(t, syscall.SIGSTOP, all...)
	waitForState(t, 'T', all...)
	kill(t, append(all, child)...)
	wantExit(t, 0, next)
	wantEmpty(t, url)
}

// Where no file may be larger than nothing, the agent and poolrun share no page, and a slot still outlives poolrun.
func TestAnOrphanKeepsTheSlotWithoutAPage(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	cmd := mustStart(t, command(t, "sh", "-c", `ulimit -f 0; exec "$@"`, "sh", binaries.poolrun, "--pool", url, "sleep", "1000"))
	child := 0
	waitStatus(t, url, "a command", func(s status) bool {
		if len(s.Holders) == 1 && s.Holders[0].CommandPID != nil {
			child = *s.Holders[0].CommandPID
		}
		return child != 0
	})
	signalAll(t, syscall.SIGKILL, cmd.Process.Pid)
	cmd.Wait()
	wantBusy(t, url)
	signalAll(t, syscall.SIGKILL, child)
	waitUntilEmpty(t, url)
}
