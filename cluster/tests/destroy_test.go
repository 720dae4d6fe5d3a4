package tests

import "testing"

// A pool that is not used any more is removed without a trace; one in use is not.
func TestDestroyRefusesAPoolInUse(t *testing.T) {
	t.Parallel()
	p := newPoolIn(t, shared(t), 1)
	release := holdSlot(t, p.url())
	wantResult(t, poolrun(t, "destroy", p.url()), 75, "pool "+p.url()+" is in use\nhint: ")
	release()
	mustRun(t, "destroy", p.url())
	wantNoKeys(t, p)
	wantRefused(t, "no pool "+p.url(), poolrun(t, "destroy", p.url()))
}

func wantNoKeys(t testing.TB, p testPool) {
	t.Helper()
	left, err := keysIn(p.cluster, "/poolrun/v1/p"+p.name+"/")
	must(t, err)
	names, err := keysIn(p.cluster, "/poolrun/v1/pools"+p.name)
	must(t, err)
	if left = append(left, names...); len(left) > 0 {
		t.Errorf("the keys %q", left)
	}
}

// Running commands go on when their pool is removed, and end as they would have. Waiters are told.
func TestForceDestroyDisturbsNoCommand(t *testing.T) {
	t.Parallel()
	p, proxy := newPoolIn(t, shared(t), 2, "--lease", "5s"), newProxy(t, shared(t))
	h, cut := startNoting(t, p.url()), startNoting(t, p.url(proxy.Address()))
	waiter := poolrun(t, "--pool", p.url(), "true")
	done := make(chan struct{})
	go func() { defer close(done); wantResult(t, waiter, 2, "^poolrun: pool "+p.url()+" was destroyed\n$") }()
	awaitLine(t, p.url(), 1)
	mustRun(t, "destroy", p.url(), "--force")
	<-done
	wantNoKeys(t, p)
	eventually(t, "the end of the watch", func() bool { return !hasFile(agentOf(t, cut.Cmd), holds) })
	proxy.Cut()
	outlastLeases() // as long as a lost lease would let it live
	h.wantKept(t)
	proxy.Heal()
	cut.wantKept(t)
	wantNoKeys(t, p)
}

// A pool of the same name that is made anew is another pool: it does not have the old holders and waiters.
func TestAPoolThatIsMadeAnewIsAnother(t *testing.T) {
	t.Parallel()
	p := newPoolIn(t, shared(t), 1)
	h := startNoting(t, p.url())
	mustRun(t, "destroy", p.url(), "--force")
	mustRun(t, "init", p.url(), "--size", "1")
	mustRun(t, "--pool", p.url(), "-n", "true")
	h.wantKept(t)
	wantEmpty(t, p.url())
}
