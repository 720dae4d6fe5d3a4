package cli

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// onlineCPUs returns how many CPUs of the machine are online. runtime.NumCPU is not the same: it
// counts the CPUs that this process may run on (sched_getaffinity(2)). A pool belongs to the
// machine, so its size must not depend on the affinity of the process that creates it.
func onlineCPUs() int {
	if text, err := os.ReadFile("/sys/devices/system/cpu/online"); err == nil {
		if n, err := countCPUs(strings.TrimSpace(string(text))); err == nil {
			return n
		}
	}
	text, _ := os.ReadFile("/proc/stat")
	if n := countCPULines(string(text)); n > 0 {
		return n
	}
	return runtime.NumCPU()
}

// countCPULines counts the lines for single CPUs in /proc/stat, "cpu0" and so on. Only online
// CPUs have one (proc_stat(5)).
func countCPULines(stat string) (n int) {
	for line := range strings.Lines(stat) {
		if rest, ok := strings.CutPrefix(line, "cpu"); ok && rest[0] >= '0' && rest[0] <= '9' {
			n++
		}
	}
	return n
}

// countCPUs counts the CPUs in a list such as "0-3,5" (cpuset(7)).
func countCPUs(list string) (n int, err error) {
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		first, err1 := strconv.Atoi(low)
		last := first
		var err2 error
		if isRange {
			last, err2 = strconv.Atoi(high)
		}
		if err := errors.Join(err1, err2); err != nil || last < first {
			return 0, errors.Join(err, strconv.ErrRange)
		}
		n += last - first + 1
	}
	return n, nil
}
