package tests

import (
	"strconv"
	"strings"
	"testing"
)

// A percentage counts the machine's online CPUs, whatever the caller's affinity.
func TestAPercentageCountsTheMachinesCPUs(t *testing.T) {
	out, err := command(t, "getconf", "_NPROCESSORS_ONLN").Output()
	if err != nil {
		t.Skip(err)
	}
	online := strings.TrimSpace(string(out))
	name := freeName(t)
	if err := command(t, "taskset", "-c", "0", binaries.poolrun, "init", name, "--size", "100%").Run(); err != nil {
		t.Skip("no taskset(1), or no CPU 0: ", err)
	}
	if got := strconv.Itoa(statusOf(t, name).Size); got != online {
		t.Errorf("size %s for 100%% of %s online CPUs", got, online)
	}
}
