package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An observer counts processes in /proc, so that poolrun itself is not asked whether the limit was kept.

// observe counts the processes of a name whose working directory is in dir, again and again. The
// function that it returns ends that, and returns the most that it saw, and in which share of the looks
// with any it saw so many.
func observe(dir, comm string, want int) (end func() (most int, share float64)) {
	stop, done := make(chan struct{}), make(chan struct{})
	looks, full, largest := 0, 0, 0
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
			}
			n := count(dir, comm)
			largest = max(largest, n)
			if n > 0 {
				looks++
			}
			if n >= want {
				full++
			}
		}
	}()
	return func() (int, float64) {
		close(stop)
		<-done
		return largest, float64(full) / float64(max(looks, 1))
	}
}

// count counts the living processes of a name whose working directory is in dir. A child of one of them
// has the same name before it execs, and is not counted.
func count(dir, comm string) (n int) {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	parents := map[string]string{}
	for _, process := range processes {
		stat, err := os.ReadFile(process + "/stat") // proc_pid_stat(5)
		pid, rest, isOne := strings.Cut(string(stat), " ("+comm+") ")
		if err != nil || !isOne {
			continue
		}
		if cwd, err := os.Readlink(process + "/cwd"); err == nil && strings.HasPrefix(cwd, dir) {
			parents[pid] = strings.Fields(rest)[1]
		}
	}
	for _, parent := range parents {
		if _, isOne := parents[parent]; !isOne {
			n++
		}
	}
	return n
}

// wantObserved checks that an observer never saw more than n, and saw n most of the time.
func wantObserved(t testing.TB, n int, end func() (int, float64)) {
	t.Helper()
	most, share := end()
	if most != n || share < 0.5 {
		t.Errorf("%d at once at most instead of %d, which were seen in %.0f %% of the looks", most, n, 100*share)
	}
}
