package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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

// Several signals at the same time all arrive, each once.
func TestSignalsAtTheSameTimeAllArrive(t *testing.T) {
	t.Parallel()
	url, file := newPool(t, 1), filepath.Join(t.TempDir(), "signals")
	must(t, os.WriteFile(file, nil, 0o600))
	script, all := "", []string{"HUP", "INT", "USR1", "USR2", "ALRM", "WINCH"}
	for _, name := range all {
		script += fmt.Sprintf("trap 'echo %s >>%s' %[1]s; ", name, file)
	}
	cmd, child := startScript(t, url, script+"trap 'exit 3' TERM; ready; while :; do sleep 0.01; done")
	signalAll(t, syscall.SIGSTOP, cmd.Process.Pid) // there is no agent meanwhile, and the next one finds one signal at a time
	waitForState(t, 'T', cmd.Process.Pid)
	kill(t, agentOf(t, cmd))
	var evicts []*exec.Cmd
	for _, name := range all {
		evicts = append(evicts, mustStart(t, poolrun(t, "evict", url, "--slot", "0", "--signal", name)))
	}
	for _, evict := range evicts {
		agent := agentOf(t, evict)
		eventually(t, "a connection to etcd", func() bool { return isConnected(agent) })
	}
	signalAll(t, syscall.SIGCONT, cmd.Process.Pid)
	wantExit(t, 0, evicts...)
	mustRun(t, "evict", url, "--slot", "0")
	wantExit(t, 3, cmd)
	waitForEnd(t, child)
	text, err := os.ReadFile(file)
	must(t, err)
	if got := strings.Fields(string(text)); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(all))) {
		t.Errorf("the command has got %q", got)
	}
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
