package tests

import "testing"

// The pool's size stays what it is, and poolrun tells of the difference.
func TestSizeCreatesThePool(t *testing.T) {
	t.Parallel()
	url := freePool(t, shared(t)).url()
	wantResult(t, poolrun(t, "--pool", url, "--size", "2", "true"), 0, "^$")
	if s := statusOf(t, url); s.Size != 2 || s.Counters.Acquired != 1 {
		t.Errorf("%+v", s)
	}
	wantResult(t, poolrun(t, "--pool", url, "--size", "2", "true"), 0, "^$")
	wantResult(t, poolrun(t, "--pool", url, "--size", "3", "true"), 0, "^poolrun: warning: pool "+url+" has size 2, not 3\n$")
	wantResult(t, poolrun(t, "--pool", url, "--size", "3", "-q", "true"), 0, "^$")

	many := freePool(t, shared(t)).url()
	for range 6 { // at the same time
		defer wantExit(t, 0, mustStart(t, poolrun(t, "--pool", many, "--size", "2", "true")))
	}
}
