package tests

import "testing"

func TestWaitReturnsWhenThePoolIsIdle(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	mustRun(t, "wait", url)
	release := holdSlot(t, url)
	wantResult(t, poolrun(t, "wait", url, "--timeout", "0.3"), 75, "pool "+url+" is still in use")
	wait := mustStart(t, poolrun(t, "wait", url))
	waiter := mustStart(t, poolrun(t, "--pool", url, "true"))
	awaitLine(t, url, 1)
	release()
	wantExit(t, 0, waiter, wait)

	release = holdSlot(t, url)
	told := poolrun(t, "wait", url)
	done := make(chan struct{})
	go func() { defer close(done); wantResult(t, told, 2, "pool "+url+" was destroyed") }()
	agentOf(t, waitStarted(t, told))
	mustRun(t, "destroy", url, "--force")
	<-done
	release()
}
