package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	url, file := newPool(t, 1), filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, url)
	line := lineUp(t, url, file, 4, noFlags)
	release()
	wantExit(t, 0, line...)
	wantOrder(t, file, 0, 1, 2, 3)
	wantEmpty(t, url)
}

// Farther back than a waiter watches every other, the order is the same.
func TestFirstComeFirstServedInALongLine(t *testing.T) {
	t.Parallel()
	url, file := newPool(t, 1), filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, url)
	const n = 14
	line := lineUp(t, url, file, n, noFlags)
	release()
	wantExit(t, 0, line...)
	var order []int
	for i := range n {
		order = append(order, i)
	}
	wantOrder(t, file, order...)
	wantEmpty(t, url)
}

func TestALowerPriorityValueGoesFirst(t *testing.T) {
	t.Parallel()
	url, file := newPool(t, 1), filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, url)
	priorities := []int{0, 19, -20, 0}
	line := lineUp(t, url, file, len(priorities), func(i int) []string { return []string{fmt.Sprint("--priority=", priorities[i])} })
	s := statusOf(t, url)
	for i, want := range []int{-20, 0, 0, 19} {
		if w := s.Waiters[i]; w.Priority != want || w.Position != i+1 {
			t.Errorf("waiter %d: %+v", i, w)
		}
	}
	release()
	wantExit(t, 0, line...)
	wantOrder(t, file, 2, 0, 3, 1)
	wantEmpty(t, url)
}

func TestMaxWaitingLimitsTheLine(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	release := holdSlot(t, url)
	wantResult(t, poolrun(t, "--pool", url, "--max-waiting", "0", "true"), 75, "no free slot")
	one := mustStart(t, poolrun(t, "--pool", url, "--max-waiting", "1", "true"))
	awaitLine(t, url, 1)
	wantResult(t, poolrun(t, "--pool", url, "--max-waiting", "1", "true"), 75, "no free slot .*1 wait")
	if s := statusOf(t, url); s.Waiting != 1 {
		t.Errorf("%d in line", s.Waiting)
	}
	release()
	wantExit(t, 0, one)
	wantEmpty(t, url)
}

// A signal that ends a waiter ends it at once, and it leaves the line.
func TestADeadlySignalEndsTheWait(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	release := holdSlot(t, url)
	for _, n := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		cmd := poolrun(t, "--pool", url, "true")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		mustStart(t, cmd)
		awaitLine(t, url, 1)
		agent := agentOf(t, cmd)
		began := time.Now()
		cmd.Process.Signal(n)
		wantSignal(t, n, cmd)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%v: it took %v", n, took)
		}
		if s := statusOf(t, url); s.Waiting != 0 || stderr.Len() > 0 {
			t.Errorf("%v: %d in line, %q on stderr", n, s.Waiting, stderr.String())
		}
		waitForEnd(t, agent)
	}
	release()
	wantEmpty(t, url)
}

// A waiter that is stopped holds up nobody, and has its old place when it goes on.
func TestAStoppedWaiterKeepsItsPlace(t *testing.T) {
	t.Parallel()
	url, file := newPool(t, 1), filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, url)
	line := lineUp(t, url, file, 3, noFlags)
	stopped := line[0].Process.Pid
	for _, n := range []syscall.Signal{syscall.SIGTSTP, syscall.SIGSTOP} {
		signalAll(t, n, stopped)
		waitForState(t, 'T', stopped)
		s := waitForLine(t, url, 2)
		if s.Waiters[0].PID != line[1].Process.Pid {
			t.Errorf("%v: %+v", n, s.Waiters)
		}
		signalAll(t, syscall.SIGCONT, stopped)
		s = waitForLine(t, url, 3)
		if s.Waiters[0].PID != stopped {
			t.Errorf("%v: %+v", n, s.Waiters)
		}
	}
	signalAll(t, syscall.SIGSTOP, line[1].Process.Pid)
	awaitLine(t, url, 2)
	release()
	wantExit(t, 0, line[0], line[2])
	wantOrder(t, file, 0, 2)
	signalAll(t, syscall.SIGCONT, line[1].Process.Pid)
	wantExit(t, 0, line[1])
	wantEmpty(t, url)
}

// Ctrl-C at a terminal ends a waiter, and not its agent only.
func TestCtrlCLeavesTheLine(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	release := holdSlot(t, url)
	shell := command(t, "sh", "-c", "trap '' INT; (trap - INT; exec poolrun --pool "+url+" true); echo $?")
	next := startLines(t, shell)
	s := waitForLine(t, url, 1)
	syscall.Kill(-shell.Process.Pid, syscall.SIGINT) // as the terminal does, to the whole group
	wantLine(t, next, "130")
	if s := statusOf(t, url); s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
	waitForEnd(t, s.Waiters[0].PID)
	wantExit(t, 0, shell)
	release()
	wantEmpty(t, url)
}

// A signal that comes just as poolrun gets its slot ends either the wait or the command.
func TestASignalAtTheEndOfTheWaitIsNotLost(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	for i := range 6 {
		cmd, child := startHolder(t, url)
		next := mustStart(t, poolrun(t, "--pool", url, "sleep", "1000"))
		awaitLine(t, url, 1)
		kill(t, child)
		time.Sleep(time.Duration(i) * 2 * time.Millisecond) // the hand-over takes about as long
		next.Process.Signal(syscall.SIGTERM)
		wantSignal(t, syscall.SIGTERM, next)
		wantExit(t, 128+9, cmd)
		wantEmpty(t, url)
	}
}

// A compaction of the store, while others wait, disturbs nobody.
func TestACompactionDisturbsNobody(t *testing.T) {
	t.Parallel()
	url, file := newPool(t, 1), filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, url)
	line := lineUp(t, url, file, 2, noFlags)
	client := shared(t).Client()
	answer, err := client.Get(t.Context(), "/")
	must(t, err)
	_, err = client.Compact(t.Context(), answer.Header.Revision)
	must(t, err)
	release()
	wantExit(t, 0, line...)
	wantOrder(t, file, 0, 1)
	wantEmpty(t, url)
}

// At most as many commands run at once as the pool has slots, and at some time so many do.
func TestTheLimitIsKept(t *testing.T) {
	t.Parallel()
	url, dir := newPool(t, 2), t.TempDir()
	script := fmt.Sprintf(`cd %s; : >run.$$; ls | grep -c run >>seen.$$; sleep 0.05; rm run.$$`, dir)
	for range 8 {
		defer wantExit(t, 0, mustStart(t, poolrun(t, "--pool", url, "sh", "-c", script)))
	}
	t.Cleanup(func() {
		most := 0
		files, _ := filepath.Glob(dir + "/seen.*")
		for _, file := range files {
			var n int
			text, _ := os.ReadFile(file)
			fmt.Sscan(string(text), &n)
			most = max(most, n)
		}
		if most != 2 || len(files) != 8 {
			t.Errorf("%d commands, at most %d at once", len(files), most)
		}
	})
}
