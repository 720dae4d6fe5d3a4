package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
)

// Agents that adopt a lease while something is wrong. death_test.go has those that can.

// killAgent kills the agent of a run, and returns when another one has started.
func killAgent(t testing.TB, h holder) (agent int) {
	t.Helper()
	old := agentOf(t, h.Cmd)
	kill(t, old)
	eventually(t, "another agent", func() bool { agent = agentOf(t, h.Cmd); return agent != old })
	return agent
}

// What an agent has open that was asked to hold slots.
const holds = "timerfd"

// waitForFile waits until an agent has a file open.
func waitForFile(t testing.TB, agent int, name string) {
	t.Helper()
	eventually(t, "an agent with a "+name, func() bool { return hasFile(agent, name) })
}

func hasFile(pid int, name string) bool {
	return slices.ContainsFunc(filesOf(pid), func(file string) bool { return strings.HasSuffix(file, "["+name+"]") })
}

// isConnected reports whether an agent has a connection to etcd, beside that to poolrun.
func isConnected(agent int) bool {
	return strings.Count(strings.Join(filesOf(agent), " "), "socket:") > 1
}

// filesOf returns what a process has open.
func filesOf(pid int) (list []string) {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			list = append(list, target)
		}
	}
	return list
}

// An agent that cannot reach etcd from the beginning still ends the command in time.
func TestAnAgentThatAdoptsWhileItIsCutOffEndsTheCommand(t *testing.T) {
	t.Parallel()
	proxy := newProxy(t, shared(t))
	p := newPoolIn(t, shared(t), 1, "--lease", "5s")
	h := startNoting(t, p.url(proxy.Address()))
	overlap := filepath.Join(t.TempDir(), "overlap")
	next := startWitness(t, p.url(), h.child, overlap)
	awaitLine(t, p.url(), 1)
	proxy.Cut()
	waitForFile(t, killAgent(t, h), holds)
	kill(t, h.Process.Pid)
	wantExit(t, 0, next)
	wantNoOverlap(t, overlap)
	h.wantEnded(t)
	wantExit(t, 128+9, h.Cmd)
	wantEmpty(t, p.url())
}

// Where a password is needed, etcd has to be asked before a lease can be adopted. What concerns the slot waits for
// that.
func TestAnAdoptionThatTakesLong(t *testing.T) {
	c := etcdtest.New(t, etcdtest.Config{Auth: true})
	file := filepath.Join(t.TempDir(), "password")
	t.Setenv("ETCDCTL_USER", "root")
	t.Setenv("POOLRUN_ETCD_PASSWORD_FILE", file)
	writePassword := func() { must(t, os.WriteFile(file, []byte(etcdtest.RootPassword), 0o600)) }
	writePassword()
	proxy := newProxy(t, c)
	var urls []string
	var holders []holder
	for range 3 {
		p := newPoolIn(t, c, 1)
		urls, holders = append(urls, p.url()), append(holders, startNoting(t, p.url(proxy.Address())))
	}
	killed, released, refused := holders[0], holders[1], holders[2]

	forGood := newProxy(t, c)
	p := newPoolIn(t, c, 1, "--lease", "5s")
	ended := startNoting(t, p.url(forGood.Address()))
	forGood.Cut()
	waitForFile(t, killAgent(t, ended), holds)
	kill(t, ended.Process.Pid)

	proxy.Cut()
	for _, h := range holders[:2] {
		waitForFile(t, killAgent(t, h), holds)
	}
	kill(t, killed.Process.Pid)
	signalAll(t, syscall.SIGHUP, released.child)
	wantExit(t, 7, released.Cmd)
	released.waitFor(t, "^poolrun: warning: cannot return the slot")
	proxy.Heal()
	within(t, soon, "giving a slot back", func() { waitUntilEmpty(t, urls[1]) })
	waitStatus(t, urls[0], "an orphaned holder", func(s status) bool { return len(s.Holders) == 1 && s.Holders[0].State == "orphaned" })
	kill(t, killed.child)
	within(t, soon, "giving a slot back", func() { waitUntilEmpty(t, urls[0]) })
	wantExit(t, 128+9, killed.Cmd)
	ended.wantEnded(t)

	must(t, os.Remove(file))
	killAgent(t, refused)
	refused.waitFor(t, "^poolrun: warning: pool .*: no engine can adopt the slot: .*cannot read the password")
	writePassword()
	eventually(t, "an agent that speaks with etcd", func() bool { return isConnected(agentOf(t, refused.Cmd)) })
	signalAll(t, syscall.SIGHUP, refused.child)
	wantExit(t, 7, refused.Cmd)
	wantEmpty(t, urls[2])
	forGood.Heal()
	waitUntilEmpty(t, p.url())
}
