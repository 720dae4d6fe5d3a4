package machine

import "testing"

func TestOnlineCPUsAreCounted(t *testing.T) {
	const stat = "cpu  1 2 3\ncpu0 1 2 3\ncpu11 1 2 3\nintr 5 cpu3\ncp0\n"
	for cut := range len(stat) { // the file is read in pieces
		var count cpuCount
		count.add([]byte(stat[:cut]))
		count.add([]byte(stat[cut:]))
		if count.cpus != 2 {
			t.Errorf("cut at %d: %d CPUs", cut, count.cpus)
		}
	}
	if OnlineCPUs() < 1 {
		t.Error("no CPU")
	}
}
