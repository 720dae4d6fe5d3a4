package tests

import (
	"syscall"
	"testing"
)

func TestEvictSignalsTheCommand(t *testing.T) {
	t.Parallel()
	url := newPool(t, 2)
	cmd := poolrun(t, "--pool", url, "--", "sh", "-c", "trap 'echo hup' HUP; trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done")
	next := startLines(t, cmd)
	wantLine(t, next, "ready")
	wantResult(t, poolrun(t, "evict", url, "--slot", "0", "--signal", "HUP"), 0, "^$")
	wantLine(t, next, "hup")
	wantRefused(t, "nothing to signal in pool .*slot 1 is free", poolrun(t, "evict", url, "--slot", "1"))
	wantRefused(t, "slot 2.*has 2 slots", poolrun(t, "evict", url, "--slot", "2"))
	wantRefused(t, "slot", poolrun(t, "evict", url, "--slot", "-1"))
	mustRun(t, "evict", url, "--slot", "0")
	wantExit(t, 3, cmd)
	wantEmpty(t, url)
}

// Evict reaches a command that has no poolrun any more, or whose poolrun it has replaced.
func TestEvictReachesACommandOnItsOwn(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	cmd, child := startHolder(t, url)
	kill(t, cmd.Process.Pid)
	waitStatus(t, url, "an orphaned holder", func(s status) bool { return len(s.Holders) == 1 && s.Holders[0].State == "orphaned" })
	mustRun(t, "evict", url, "--slot", "0", "--signal", "9")
	waitForEnd(t, child)
	waitUntilEmpty(t, url)

	cmd, _ = startHolder(t, url, "--no-fork")
	mustRun(t, "evict", url, "--slot", "0", "--signal", "INT")
	wantSignal(t, syscall.SIGINT, cmd)
	waitUntilEmpty(t, url)
}

// A machine that does not answer is named.
func TestEvictTellsOfAHolderThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	cmd, child := startHolder(t, url)
	agent := agentOf(t, cmd)
	signalAll(t, syscall.SIGSTOP, agent)
	wantRefused(t, "machine .* does not answer", poolrun(t, "evict", url, "--slot", "0", "--signal", "HUP"))
	signalAll(t, syscall.SIGCONT, agent)
	wantSignal(t, syscall.SIGHUP, cmd)
	waitForEnd(t, child)
	wantEmpty(t, url)
}
