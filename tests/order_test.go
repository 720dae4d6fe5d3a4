package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWaitersAreServedInOrderAlsoWhenSomeGiveUpOrDie(t *testing.T) {
	name := newPool(t, 1)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	const n = 20
	killed := map[int]syscall.Signal{5: syscall.SIGKILL, 8: syscall.SIGTERM, 11: syscall.SIGKILL}
	timesOut := map[int]bool{7: true, 9: true}
	line := lineUp(t, name, file, n, func(i int) []string {
		if timesOut[i] {
			return []string{"--timeout", "5s"}
		}
		return nil
	})
	for i, n := range killed {
		line[i].Process.Signal(n)
		wantSignal(t, n, line[i])
	}
	for i := range timesOut {
		wantExit(t, 75, line[i])
	}
	release()
	var want []int
	for i, cmd := range line {
		if killed[i] == 0 && !timesOut[i] {
			wantExit(t, 0, cmd)
			want = append(want, i)
		}
	}
	wantOrder(t, file, want...)
	wantEmpty(t, name)
	if n := statusOf(t, name).Counters; n.TimedOut != 2 || n.Cancelled != 3 {
		t.Errorf("counters %+v", n)
	}
}

func TestAThousandWaitersAreServedInOrderAndSleepMeanwhile(t *testing.T) {
	onlyOnce(t)
	if testing.Short() {
		t.Skip("a thousand processes")
	}
	name := newPool(t, 1)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	const n = 1000
	var line []*exec.Cmd
	for i := range n {
		cmd := poolrun(t, "--pool", name, "-v", "--", "sh", "-c", fmt.Sprintf("echo %d >> %s", i, file))
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		line = append(line, mustStart(t, cmd))
		// The first line says that it is in line.
		if _, err := stderr.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		go func() { // read the rest, so that poolrun does not block
			for buffer := make([]byte, 512); ; {
				if _, err := stderr.Read(buffer); err != nil {
					return
				}
			}
		}()
	}
	if s := statusOf(t, name); s.Waiting != n || s.Waiters[n-1].PID != line[n-1].Process.Pid {
		t.Fatalf("%d in line", s.Waiting)
	}
	// However many wait, about a hundred wake in a second, for an instant.
	start := time.Now()
	before := switches(t, line)
	time.Sleep(3 * time.Second)
	woke := 0
	for i, now := range switches(t, line) {
		if now != before[i] {
			woke++
		}
	}
	if seconds := time.Since(start).Seconds(); float64(woke) > 170*seconds {
		t.Errorf("%d of %d waiters woke in %.1f seconds", woke, n, seconds)
	}
	release()
	wantExit(t, 0, line...)
	wantOrder(t, file, upTo(n)...)
	wantEmpty(t, name)
}

// switches returns how often each process has gone to sleep so far, by the context
// switches of all its threads, proc_pid_status(5).
func switches(t testing.TB, processes []*exec.Cmd) (counts []int) {
	for _, cmd := range processes {
		sum := 0
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", cmd.Process.Pid))
		for _, task := range tasks {
			text, err := os.ReadFile(task)
			if err != nil {
				t.Fatal(err)
			}
			_, after, _ := strings.Cut(string(text), "\nvoluntary_ctxt_switches:")
			var n int
			fmt.Sscan(after, &n)
			sum += n
		}
		counts = append(counts, sum)
	}
	return counts
}

// If the first in line is stopped while a slot is free, the others pass it, also a newcomer that does
// not wait. It is served when it goes on.
func TestAStoppedFirstInLineIsPassed(t *testing.T) {
	name := newPool(t, 1)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	line := lineUp(t, name, file, 3, noFlags)
	line[0].Process.Signal(syscall.SIGSTOP)
	release()
	wantExit(t, 0, line[1:]...)
	wantResult(t, poolrun(t, "--pool", name, "--nonblock", "true"), 0, "^$")
	line[0].Process.Signal(syscall.SIGCONT)
	wantExit(t, 0, line[0])
	wantOrder(t, file, 1, 2, 0)
	wantEmpty(t, name)
}

func TestAHeavyCommandIsNotOvertaken(t *testing.T) {
	name := newPool(t, 2)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	line := lineUp(t, name, file, 3, func(i int) []string {
		return []string{"--weight", []string{"2", "1", "1"}[i]}
	})
	wantBusy(t, name)
	if s := statusOf(t, name); s.Waiting != 3 || s.Available != 1 {
		t.Errorf("status %+v", s)
	}
	release()
	wantExit(t, 0, line...)
	if order, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(order), "0\n") {
		t.Errorf("served in the order %q, %v", order, err)
	}
	wantUsable(t, name)
}
