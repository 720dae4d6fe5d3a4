package cli

import (
	"os"
	"runtime"
	"strings"
)

// onlineCPUs returns how many CPUs of the machine are online. runtime.NumCPU is not the same: it
// counts the CPUs that this process may run on (sched_getaffinity(2)). A pool belongs to the
// machine, so its size must not depend on the affinity of the process that creates it.
func onlineCPUs() int {
	text, _ := os.ReadFile("/proc/stat")
	if n := countCPUs(string(text)); n > 0 {
		return n
	}
	return runtime.NumCPU()
}

// countCPUs counts the lines for single CPUs in /proc/stat, "cpu0" and so on. Only online CPUs have
// one (proc_stat(5)).
func countCPUs(stat string) (n int) {
	for line := range strings.Lines(stat) {
		if rest, ok := strings.CutPrefix(line, "cpu"); ok && rest[0] >= '0' && rest[0] <= '9' {
			n++
		}
	}
	return n
}
