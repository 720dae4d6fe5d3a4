package tests

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// holdSlot starts a command that holds a slot until the returned function is
// called.
func holdSlot(t testing.TB, name string) (release func()) {
	t.Helper()
	before := statusOf(t, name).InUse
	cmd := poolrun(t, "--pool", name, "--", "cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	mustStart(t, cmd)
	waitStatus(t, name, "one more slot in use", func(s status) bool {
		return s.InUse == before+1 && s.Holders[before].CommandPID != 0
	})
	return func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// lineUp starts n waiting poolruns one after the other; each appends its number
// to the file when its turn comes.
func lineUp(t testing.TB, name, file string, n int, flags func(i int) []string) []*exec.Cmd {
	t.Helper()
	var line []*exec.Cmd
	for i := range n {
		args := append([]string{"--pool", name}, flags(i)...)
		args = append(args, "--", "sh", "-c", fmt.Sprintf("echo %d >> %s", i, file))
		line = append(line, mustStart(t, poolrun(t, args...)))
		waitStatus(t, name, "one more in line", func(s status) bool { return s.Waiting == i+1 })
	}
	return line
}

func noFlags(int) []string { return nil }

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
		line[i].Wait()
		if got := line[i].ProcessState.Sys().(syscall.WaitStatus).Signal(); got != n {
			t.Errorf("waiter %d died of %v", i, got)
		}
	}
	for i := range timesOut {
		line[i].Wait()
		if code := shellCode(line[i]); code != 75 {
			t.Errorf("waiter %d: exit code %d", i, code)
		}
	}
	release()
	var want strings.Builder
	for i, cmd := range line {
		if killed[i] == 0 && !timesOut[i] {
			if err := cmd.Wait(); err != nil {
				t.Errorf("waiter %d: %v", i, err)
			}
			fmt.Fprintln(&want, i)
		}
	}
	if got := readFile(t, file); got != want.String() {
		t.Errorf("served in the order %q", strings.Fields(got))
	}
	wantEmpty(t, name)
	if n := statusOf(t, name).Counters; n.TimedOut != 2 || n.Cancelled != 3 {
		t.Errorf("counters %+v", n)
	}
}

func TestAThousandWaitersAreServedInOrderAndSleepMeanwhile(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand processes")
	}
	name := newPool(t, 1)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	const n = 1000
	var line []*exec.Cmd
	var want strings.Builder
	for i := range n {
		cmd := poolrun(t, "--pool", name, "-v", "--", "sh", "-c", fmt.Sprintf("echo %d >> %s", i, file))
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		line = append(line, mustStart(t, cmd))
		// The first line says that it waits: the next may come.
		if _, err := stderr.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		go func() { // drained until the command's end
			for buffer := make([]byte, 512); ; {
				if _, err := stderr.Read(buffer); err != nil {
					return
				}
			}
		}()
		fmt.Fprintln(&want, i)
	}
	if s := statusOf(t, name); s.Waiting != n || s.Waiters[n-1].PID != line[n-1].Process.Pid {
		t.Fatalf("%d in line", s.Waiting)
	}
	// However many wait, a hundred a second wake, for an instant.
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
	for i, cmd := range line {
		if err := cmd.Wait(); err != nil {
			t.Fatalf("waiter %d: %v", i, err)
		}
	}
	if got := readFile(t, file); got != want.String() {
		t.Error("not served in order")
	}
	wantEmpty(t, name)
}

// switches tells how often each process has gone to sleep so far, by the context
// switches of all its threads, proc_pid_status(5).
func switches(t *testing.T, processes []*exec.Cmd) (counts []int) {
	for _, cmd := range processes {
		sum := 0
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", cmd.Process.Pid))
		for _, task := range tasks {
			_, after, _ := strings.Cut(readFile(t, task), "\nvoluntary_ctxt_switches:")
			var n int
			fmt.Sscan(after, &n)
			sum += n
		}
		counts = append(counts, sum)
	}
	return counts
}

// A first in line that is stopped while a slot is free is passed, and served
// when it goes on.
func TestAStoppedFirstInLineIsPassed(t *testing.T) {
	name := newPool(t, 1)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	line := lineUp(t, name, file, 3, noFlags)
	line[0].Process.Signal(syscall.SIGSTOP)
	release()
	for _, cmd := range line[1:] {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	line[0].Process.Signal(syscall.SIGCONT)
	if err := line[0].Wait(); err != nil {
		t.Error(err)
	}
	if got := readFile(t, file); got != "1\n2\n0\n" {
		t.Errorf("served in the order %q", strings.Fields(got))
	}
	wantEmpty(t, name)
}
