package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Runs that are cut off from etcd, while others are not.

// A run that is cut off from etcd loses its lease. In a pool that kills, its command, and all that has to
// end with it, has ended before the next is admitted.
func TestACommandThatIsCutOffEndsBeforeTheNextStarts(t *testing.T) {
	t.Parallel()
	proxy := newProxy(t, shared(t))
	var ends []func()
	const isKilled, isStopped, becomes = "poolrun is killed", "poolrun is stopped", "poolrun becomes the command"
	for _, test := range []struct {
		name  string
		flags []string
	}{{"poolrun lives", nil}, {"it waits for a tree", []string{"--wait-tree"}}, {"there is no guard", []string{"--close"}}, {becomes, []string{"--no-fork"}}, {isKilled, nil}, {isStopped, nil}} {
		p := newPoolIn(t, shared(t), 1, "--lease", "5s")
		h := startNoting(t, p.url(proxy.Address()), test.flags...)
		overlap := filepath.Join(t.TempDir(), "overlap")
		next := startWitness(t, p.url(), h.child, overlap)
		awaitLine(t, p.url(), 1)
		switch test.name {
		case isKilled:
			kill(t, h.Process.Pid)
			waitStatus(t, p.url(), "an orphaned holder", func(s status) bool { return s.Holders[0].State == "orphaned" })
		case isStopped:
			signalAll(t, syscall.SIGSTOP, h.Process.Pid)
			waitForState(t, 'T', h.Process.Pid)
		}
		ends = append(ends, func() {
			t.Log(test.name)
			wantExit(t, 0, next)
			wantNoOverlap(t, overlap)
			switch test.name {
			case isKilled, becomes:
				h.wantEnded(t)
				wantExit(t, 128+9, h.Cmd)
				return
			case isStopped:
				signalAll(t, syscall.SIGCONT, h.Process.Pid)
			}
			h.wantLost(t)
			wantEmpty(t, p.url())
		})
	}
	proxy.Cut()
	for _, end := range ends {
		end()
	}
}

// A command that ends as SIGTERM asks it to has lost its slot all the same, also if poolrun was stopped then. One that
// has ended before, while poolrun was stopped, has not.
func TestHowACommandHasEndedIsKnown(t *testing.T) {
	t.Parallel()
	proxy := newProxy(t, shared(t))
	var runs []*exec.Cmd
	var outputs []*output
	for _, script := range []string{"trap '' HUP; trap 'exit 0' TERM; ready; while :; do sleep 0.05; done", "trap 'exit 0' HUP; ready; while :; do sleep 0.05; done"} {
		p := newPoolIn(t, shared(t), 1, "--lease", "5s")
		cmd, wait := prepareScript(t, p.url(proxy.Address()), script)
		stderr := new(output)
		cmd.Stderr = stderr
		mustStart(t, cmd)
		child := wait()
		signalAll(t, syscall.SIGSTOP, cmd.Process.Pid)
		waitForState(t, 'T', cmd.Process.Pid)
		signalAll(t, syscall.SIGHUP, child)
		runs, outputs = append(runs, cmd), append(outputs, stderr)
	}
	proxy.Cut()
	outlastLeases()
	for _, cmd := range runs {
		signalAll(t, syscall.SIGCONT, cmd.Process.Pid)
	}
	proxy.Heal()
	wantExit(t, 2, runs[0])
	if want := "poolrun: lost the slot of pool "; !strings.Contains(outputs[0].String(), want) {
		t.Errorf("%q", outputs[0])
	}
	wantExit(t, 0, runs[1])
}

// With --wait-tree, what the command has left behind ends too.
func TestATreeThatIsCutOffEnds(t *testing.T) {
	t.Parallel()
	proxy := newProxy(t, shared(t))
	p := newPoolIn(t, shared(t), 1, "--lease", "5s")
	file := filepath.Join(t.TempDir(), "daemon")
	script := fmt.Sprintf("setsid sh -c 'echo $$ >%s.new; mv %[1]s.new %[1]s; exec sleep 1000' >/dev/null 2>&1 & ready; exec sleep 1000", file)
	cmd, child := startScript(t, p.url(proxy.Address()), script, "--wait-tree", "--kill-after", "1s")
	var daemon int
	eventually(t, "a daemon", func() bool {
		text, _ := os.ReadFile(file)
		fmt.Sscan(string(text), &daemon)
		return daemon != 0
	})
	overlap := filepath.Join(t.TempDir(), "overlap")
	next := startWitness(t, p.url(), daemon, overlap)
	awaitLine(t, p.url(), 1)
	proxy.Cut()
	wantExit(t, 0, next)
	wantNoOverlap(t, overlap)
	wantExit(t, 2, cmd)
	waitForEnd(t, child, daemon)
	wantEmpty(t, p.url())
}

// In a pool that keeps, a command that is cut off runs on beside the next, and poolrun says so.
func TestACommandThatIsCutOffIsKept(t *testing.T) {
	t.Parallel()
	proxy := newProxy(t, shared(t))
	p := newPoolIn(t, shared(t), 1, "--lease", "5s", "--on-lost", "keep")
	h := startNoting(t, p.url(proxy.Address()))
	overlap := filepath.Join(t.TempDir(), "overlap")
	next := startWitness(t, p.url(), h.child, overlap)
	awaitLine(t, p.url(), 1)
	proxy.Cut()
	wantExit(t, 0, next)
	wantOverlap(t, overlap)
	proxy.Heal()
	h.wantKept(t, mayGo)
	wantEmpty(t, p.url())
}

// A waiter that is cut off for longer than its lease loses its place only for as long.
func TestAWaiterThatIsCutOffComesBackToItsPlace(t *testing.T) {
	t.Parallel()
	proxy := newProxy(t, shared(t))
	p, file := newPoolIn(t, shared(t), 1), filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, p.url())
	first := mustStart(t, poolrun(t, "--pool", p.url(proxy.Address()), "--", "sh", "-c", "echo 7 >>"+file))
	awaitLine(t, p.url(), 1)
	line := lineUp(t, p.url(), file, 2, noFlags)
	proxy.Cut()
	awaitLine(t, p.url(), 2)
	proxy.Heal()
	s := waitForLine(t, p.url(), 3)
	if s.Waiters[0].PID != first.Process.Pid {
		t.Errorf("%+v", s.Waiters)
	}
	release()
	wantExit(t, 0, append(line, first)...)
	wantOrder(t, file, 7, 0, 1)
	wantEmpty(t, p.url())
}

// A run that is cut off for less than its lease loses nothing, and hears of what happened meanwhile.
func TestAShortCutHarmsNobody(t *testing.T) {
	t.Parallel()
	proxy := newProxy(t, shared(t))
	p := newPoolIn(t, shared(t), 1)
	h := startNoting(t, p.url(proxy.Address()))
	waiter, _ := startWaiter(t, p.url(proxy.Address()))
	proxy.Cut()
	evict := mustStart(t, poolrun(t, "evict", p.url(), "--slot", "0", "--signal", "HUP"))
	time.Sleep(3 * time.Second) // requests fail after 2
	proxy.Heal()
	wantExit(t, 7, h.Cmd)
	wantExit(t, 0, waiter)
	waitInTime(t, evict) // which may have given up
	if h.stderr.String() != "" {
		t.Errorf("%q on stderr", h.stderr)
	}
	wantEmpty(t, p.url())
}

// Who waits or runs while etcd is out of reach can still give up in time, or be ended by a signal.
func TestARunThatIsCutOffCanBeEnded(t *testing.T) {
	t.Parallel()
	proxy := newProxy(t, shared(t))
	p := newPoolIn(t, shared(t), 1)
	url := p.url(proxy.Address())
	holder, child := startHolder(t, url)
	agent := agentOf(t, holder)
	const limit = 5 * time.Second
	waiter, _ := startWaiter(t, url)
	began := time.Now()
	late, stderr := startWaiter(t, url, "-w", limit.String())
	proxy.Cut()
	within(t, soon, "the end of a waiter", func() {
		waiter.Process.Signal(syscall.SIGINT)
		wantSignal(t, syscall.SIGINT, waiter)
	})
	within(t, soon, "the end of a holder", func() {
		holder.Process.Signal(syscall.SIGTERM)
		wantSignal(t, syscall.SIGTERM, holder)
	})
	wantExit(t, 75, late)
	if took := time.Since(began); took < limit || took > limit+3*soon || !strings.Contains(stderr.String(), fmt.Sprintf("\npoolrun: no free slot in pool %s within %v\n", url, limit)) {
		t.Errorf("after %v: %q", took, stderr)
	}
	waitForEnd(t, child)
	wantBusy(t, p.url())
	proxy.Heal()
	within(t, 3*soon, "giving the slot back", func() { waitUntilEmpty(t, p.url()) })
	waitForEnd(t, agent) // which needs the proxy
}
