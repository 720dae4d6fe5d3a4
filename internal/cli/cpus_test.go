package cli

import "testing"

func TestOnlineCPUsAreCounted(t *testing.T) {
	if n := countCPUs("cpu  1 2 3\ncpu0 1 2 3\ncpu11 1 2 3\nintr 5\n"); n != 2 {
		t.Errorf("%d CPUs", n)
	}
	if onlineCPUs() < 1 {
		t.Error("no CPU")
	}
}
