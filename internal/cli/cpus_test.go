package cli

import "testing"

func TestOnlineCPUsAreCounted(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-3": 4, "0-3,5": 5, "0,2,4-7,16-31": 22} {
		if got, err := countCPUs(list); got != want || err != nil {
			t.Errorf("%q: %d, %v", list, got, err)
		}
	}
	for _, list := range []string{"", "-", "3-0", "0-", "x", "0,,1"} {
		if got, err := countCPUs(list); err == nil {
			t.Errorf("%q: %d", list, got)
		}
	}
	if n := countCPULines("cpu  1 2 3\ncpu0 1 2 3\ncpu11 1 2 3\nintr 5\n"); n != 2 {
		t.Errorf("%d lines", n)
	}
	if onlineCPUs() < 1 {
		t.Error("no CPU")
	}
}
