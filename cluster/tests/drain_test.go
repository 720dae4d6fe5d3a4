package tests

import (
	"syscall"
	"testing"
)

// Drain admits nobody new, serves those in line, and then removes the pool.
func TestDrainServesTheLine(t *testing.T) {
	t.Parallel()
	p := newPoolIn(t, shared(t), 1)
	release := holdSlot(t, p.url())
	waiter := mustStart(t, poolrun(t, "--pool", p.url(), "true"))
	awaitLine(t, p.url(), 1)
	drain := mustStart(t, poolrun(t, "destroy", p.url(), "--drain"))
	waitStatus(t, p.url(), "a drain", func(s status) bool { return s.Draining })
	wantRefused(t, "is being drained", poolrun(t, "--pool", p.url(), "true"))
	wantRefused(t, "is being drained", poolrun(t, "--pool", p.url(), "-n", "true"))
	wantRefused(t, "is being drained", poolrun(t, "destroy", p.url(), "--drain"))
	release()
	wantExit(t, 0, waiter, drain)
	wantNoKeys(t, p)
}

// A drain that ends early, however it does, admits newcomers again.
func TestADrainThatEndsEarlyAdmitsNewcomers(t *testing.T) {
	t.Parallel()
	url := newPool(t, 2)
	release := holdSlot(t, url)
	wantResult(t, poolrun(t, "destroy", url, "--drain", "--timeout", "0.5"), 75, "pool "+url+" is still in use")
	mustRun(t, "--pool", url, "-n", "true")
	for _, n := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		drain := mustStart(t, poolrun(t, "destroy", url, "--drain"))
		waitStatus(t, url, "a drain", func(s status) bool { return s.Draining })
		signalAll(t, n, drain.Process.Pid)
		wantSignal(t, n, drain)
		within(t, soon, "the end of the drain", func() {
			waitStatus(t, url, "no drain", func(s status) bool { return !s.Draining })
		})
		mustRun(t, "--pool", url, "-n", "true")
	}
	drain := mustStart(t, poolrun(t, "destroy", url, "--drain")) // it vanishes as a whole
	waitStatus(t, url, "a drain", func(s status) bool { return s.Draining })
	all := []int{drain.Process.Pid, agentOf(t, drain)}
	signalAll(t, syscall.SIGSTOP, all...)
	waitForState(t, 'T', all...)
	kill(t, all...)
	waitStatus(t, url, "no drain", func(s status) bool { return !s.Draining })
	release()
	wantEmpty(t, url)
}

// A drain that was cut off for longer than its lease goes on when etcd answers again.
func TestADrainThatIsCutOffGoesOn(t *testing.T) {
	t.Parallel()
	proxy := newProxy(t, shared(t))
	p := newPoolIn(t, shared(t), 1)
	release := holdSlot(t, p.url())
	drain := mustStart(t, poolrun(t, "destroy", p.url(proxy.Address()), "--drain"))
	draining := func(s status) bool { return s.Draining }
	waitStatus(t, p.url(), "a drain", draining)
	proxy.Cut()
	waitStatus(t, p.url(), "no drain", func(s status) bool { return !s.Draining })
	proxy.Heal()
	waitStatus(t, p.url(), "a drain again", draining)
	release()
	wantExit(t, 0, drain)
	wantNoKeys(t, p)
}
