package tests

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
	"github.com/poolrun/poolrun/cluster/internal/keys"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// What happens to a running command whose lease cannot be renewed: the columns of the table in
// docs/cluster.md, for pools that kill such commands and for pools that keep them. cut_test.go has the one
// about a run that is cut off.

// While etcd is down, leases survive. A command is ended, needlessly, or kept. Waiters keep their place,
// though their lease is shorter.
func TestEtcdIsDownForLongerThanTheLease(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, etcdtest.Config{})
	kills, keeps := newPoolIn(t, c, 1, "--lease", "5s").url(), newPoolIn(t, c, 1, "--lease", "5s", "--on-lost", "keep").url()
	killed, kept := startNoting(t, kills), startNoting(t, keeps)
	overlap := filepath.Join(t.TempDir(), "overlap")
	next := startWitness(t, kills, killed.child, overlap)
	awaitLine(t, kills, 1)
	file := filepath.Join(t.TempDir(), "order")
	line := lineUp(t, kills, file, 3, noFlags)

	must(t, c.Members[0].Kill())
	killed.wantLost(t)
	kept.waitFor(t, mayGo)
	outlastLeases()
	must(t, c.Members[0].Restart())
	kept.wantKept(t, "the slot is still held")
	wantExit(t, 0, next)
	wantNoOverlap(t, overlap)
	wantExit(t, 0, line...)
	wantOrder(t, file, 0, 1, 2)
	waitUntilEmpty(t, kills)
	waitUntilEmpty(t, keeps)
}

func TestEtcdHasNoMajority(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, etcdtest.Config{Members: 3})
	kills, keeps := newPoolIn(t, c, 1, "--lease", "5s").url(), newPoolIn(t, c, 1, "--lease", "5s", "--on-lost", "keep").url()
	killed, kept := startNoting(t, kills), startNoting(t, keeps)
	for _, m := range c.Members[1:] {
		must(t, m.Kill())
	}
	killed.wantLost(t)
	kept.waitFor(t, mayGo)
	for _, m := range c.Members[1:] {
		must(t, m.Restart())
	}
	kept.wantKept(t, "the slot is still held")
	waitUntilEmpty(t, kills)
	waitUntilEmpty(t, keeps)
}

// A leader that dies is no loss: another member renews the lease.
func TestALeaderDies(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, etcdtest.Config{Members: 3})
	const lease = 15 * time.Second // longer than an election, also on a busy machine
	url := newPoolIn(t, c, 1, "--lease", lease.String()).url()
	h := startNoting(t, url)
	next := mustStart(t, poolrun(t, "--pool", url, "true"))
	awaitLine(t, url, 1)
	leader, err := c.Leader()
	must(t, err)
	must(t, leader.Kill())
	time.Sleep(lease + lease/5)
	awaitLine(t, url, 1)
	h.wantKept(t)
	wantExit(t, 0, next)
	must(t, leader.Restart())
	wantEmpty(t, url)
}

// A machine that sleeps for longer than the lease loses it. Its commands are killed when it wakes, or kept.
func TestAMachineSleepsForLongerThanTheLease(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"kill", "keep"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			url := newPool(t, 1, "--lease", "5s", "--on-lost", flag)
			h := startNoting(t, url, "--kill-after", "1s")
			next := mustStart(t, poolrun(t, "--pool", url, "true"))
			awaitLine(t, url, 1)
			all := []int{h.Process.Pid, agentOf(t, h.Cmd), h.child}
			signalAll(t, syscall.SIGSTOP, all...)
			waitForState(t, 'T', all...)
			wantExit(t, 0, next)
			slices.Reverse(all) // the command goes on first
			signalAll(t, syscall.SIGCONT, all...)
			if flag == "keep" {
				h.wantKept(t, mayGo)
			} else {
				within(t, soon, "the end of the command", func() { waitForEnd(t, h.child) })
				wantExit(t, 2, h.Cmd)
				if !strings.Contains(h.stderr.String(), "lost the slot of pool "+url) {
					t.Errorf("%q", h.stderr)
				}
			}
			wantEmpty(t, url)
		})
	}
}

// If the agent hangs, poolrun ends the command before the slot can go to another.
func TestAnAgentThatHangs(t *testing.T) {
	t.Parallel()
	const lease = 5 * time.Second
	url := newPool(t, 1, "--lease", lease.String())
	h := startNoting(t, url)
	agent := agentOf(t, h.Cmd)
	within(t, lease, "the end of the command", func() { // since the last renewal was earlier
		signalAll(t, syscall.SIGSTOP, agent)
		waitForEnd(t, h.child)
	})
	signalAll(t, syscall.SIGCONT, agent)
	h.wantLost(t)
	waitUntilEmpty(t, url)
}

// A machine that sleeps for less than the lease loses nothing.
func TestAMachineSleepsForLessThanTheLease(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	h := startNoting(t, url)
	all := []int{h.Process.Pid, agentOf(t, h.Cmd), h.child}
	signalAll(t, syscall.SIGSTOP, all...)
	waitForState(t, 'T', all...)
	wantBusy(t, url)
	signalAll(t, syscall.SIGCONT, all...)
	h.wantKept(t)
	wantEmpty(t, url)
}

// A slot that is taken away, whoever does that, is known at once.
func TestALostSlotIsKnownAtOnce(t *testing.T) {
	t.Parallel()
	c := shared(t)
	for _, keep := range []string{"kill", "keep"} {
		p := newPoolIn(t, c, 1, "--on-lost", keep)
		h := startNoting(t, p.url(), "--kill-after", "0.5s")
		_, err := c.Client().Delete(t.Context(), keys.Of(p.name).Slots(), clientv3.WithPrefix())
		must(t, err)
		if keep == "keep" {
			h.wantKept(t, mayGo)
			continue
		}
		within(t, soon, "the end of the command", func() { waitForEnd(t, h.child) })
		wantExit(t, 2, h.Cmd)
	}
}
