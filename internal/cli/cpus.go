package cli

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// onlineCPUs is how many CPUs of the machine are online. runtime.NumCPU is another
// number: how many of them this process may run on, sched_getaffinity(2). A pool is
// the machine's, and must not get its size from the affinity of its first user.
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

// countCPULines counts the lines of /proc/stat for single CPUs, "cpu0" and so on: those
// that are online, proc_stat(5).
func countCPULines(stat string) (n int) {
	for line := range strings.Lines(stat) {
		if rest, ok := strings.CutPrefix(line, "cpu"); ok && rest[0] >= '0' && rest[0] <= '9' {
			n++
		}
	}
	return n
}

// countCPUs counts the CPUs of a list like "0-3,5", cpuset(7).
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
