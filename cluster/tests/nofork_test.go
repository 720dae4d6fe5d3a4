package tests

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

// With --no-fork, poolrun's process becomes the command, which has no child that it does not know.
func TestNoForkBecomesTheCommand(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	cmd := poolrun(t, "--no-fork", "--pool", url, "sh", "-c", "echo $$ $POOLRUN_SLOT; echo $(cat /proc/$$/task/$$/children | wc -w); read line; exit 7")
	stdin, err := cmd.StdinPipe()
	must(t, err)
	next := startLines(t, cmd)
	wantLine(t, next, fmt.Sprint(cmd.Process.Pid, " 0"))
	wantLine(t, next, "1") // the command substitution
	s := waitStatus(t, url, "a holder", func(s status) bool { return len(s.Holders) == 1 })
	if h := s.Holders[0]; h.State != "running" || h.PID != cmd.Process.Pid {
		t.Errorf("%+v", h)
	}
	wantBusy(t, url)
	waiter := mustStart(t, poolrun(t, "--pool", url, "true"))
	awaitLine(t, url, 1)
	stdin.Close()
	wantExit(t, 7, cmd)
	within(t, soon, "the start of the next", func() { wantExit(t, 0, waiter) })
	wantEmpty(t, url)
}

// However a command ends that poolrun has become, its slot is free soon.
func TestNoForkReturnsTheSlotAfterADeath(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	for _, n := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		cmd, child := startHolder(t, url, "--no-fork")
		next := mustStart(t, poolrun(t, "--pool", url, "true"))
		awaitLine(t, url, 1)
		signalAll(t, n, child)
		wantSignal(t, n, cmd)
		within(t, soon, "the start of the next", func() { wantExit(t, 0, next) })
	}
	waitUntilEmpty(t, url)
}

func TestNoForkRefusesWhatNeedsASupervisor(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	for _, flags := range [][]string{{"--max-runtime", "1s"}, {"--wait-tree"}, {"--die-with-parent"}, {"--log", "/dev/null"}} {
		wantRefused(t, flags[0]+" needs a process that stays beside the command", poolrun(t, append(flags, "--no-fork", "--pool", url, "true")...))
	}
	wantResult(t, poolrun(t, "--no-fork", "--pool", url, "/etc/passwd"), 126, "permission denied")
	wantEmpty(t, url)
}

// The kernel ends all processes of a PID namespace with its process 1, and so an agent that would have to give the
// slot back.
func TestNoForkIsNotForProcess1(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	if os.Geteuid() != 0 {
		t.Skip("it takes root's privileges to make a PID namespace")
	}
	for _, flags := range [][]string{{"--no-fork"}, nil} {
		cmd := poolrun(t, append(flags, "--pool", url, "sh", "-c", "exit 3")...)
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS
		if flags != nil {
			wantRefused(t, "leave out --no-fork", cmd)
		} else {
			wantResult(t, cmd, 3, "^$")
		}
	}
	wantEmpty(t, url)
}
