package tests

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// However long the line, and whatever happened to those in it: a free slot is taken
// within two seconds by a living waiter behind any number of dead or stopped ones. The
// limits here are for a busy machine; what they tell apart took 19 s and more.

const promptly = 10 * time.Second

// wantPrompt waits for a command that has got its turn, and for no longer than it may
// take.
func wantPrompt(t testing.TB, cmd *exec.Cmd, since time.Time) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the living waiter: %v", err)
		}
		t.Logf("the living waiter had its turn after %v", time.Since(since))
	case <-time.After(promptly):
		t.Fatalf("the slot was still free after %v", promptly)
	}
}

// queue starts n poolruns that wait, in any order.
func queue(t testing.TB, name string, n int, prepare func(*exec.Cmd) *exec.Cmd) (line []*exec.Cmd) {
	t.Helper()
	before := statusOf(t, name).Waiting
	for range n {
		line = append(line, mustStart(t, prepare(poolrun(t, "--pool", name, "true"))))
	}
	waitStatus(t, name, fmt.Sprint(n, " more in line"), func(s status) bool { return s.Waiting == before+n })
	return line
}

func asIs(cmd *exec.Cmd) *exec.Cmd { return cmd }

// end kills processes and reaps them.
func end(t testing.TB, list []*exec.Cmd) {
	t.Helper()
	for _, cmd := range list {
		cmd.Process.Kill()
	}
	for _, cmd := range list {
		cmd.Wait()
	}
}

func TestAFreeSlotIsTakenBehindAnyNumberOfStopped(t *testing.T) {
	for what, prepare := range map[string]func(*exec.Cmd) *exec.Cmd{
		"here":              asIs,
		"in pid namespaces": func(cmd *exec.Cmd) *exec.Cmd { return inside(t, cmd) }, // where nobody sees that they are stopped
	} {
		t.Run(what, func(t *testing.T) {
			name := newPool(t, 1)
			release := holdSlot(t, name)
			stopped := queue(t, name, 20, prepare)
			living := queue(t, name, 1, asIs)[0]
			for _, cmd := range stopped {
				cmd.Process.Signal(syscall.SIGSTOP)
			}
			release()
			wantPrompt(t, living, time.Now())
			for _, cmd := range stopped {
				cmd.Process.Signal(syscall.SIGCONT)
			}
			for i, cmd := range stopped {
				if err := cmd.Wait(); err != nil {
					t.Errorf("stopped waiter %d: %v", i, err)
				}
			}
			wantEmpty(t, name)
		})
	}
}

// A resize wakes all, who then sleep in step; and the holder dies without a release, so
// that nobody is told.
func TestAFreeSlotIsTakenBehindAnyNumberOfTheDead(t *testing.T) {
	for _, dead := range []int{2, 59} {
		t.Run(fmt.Sprint(dead, " of 60"), func(t *testing.T) {
			name := newPool(t, 1)
			holder := mustStart(t, poolrun(t, "--pool", name, "sleep", "1000"))
			s := waitCommand(t, name)
			dying := queue(t, name, dead, asIs)
			living := queue(t, name, 60-dead, asIs)
			mustRun(t, "resize", name, "1")
			end(t, dying)
			kill(t, s.Holders[0].CommandPID)
			end(t, []*exec.Cmd{holder})
			began := time.Now()
			for _, cmd := range living {
				wantPrompt(t, cmd, began)
				began = time.Now()
			}
			wantEmpty(t, name)
		})
	}
}

// One process with very many waiters is one sleeper, and its death or its stop must not
// make those behind it sleep for long.
func TestAFreeSlotIsTakenBehindACrowdOfOneProcess(t *testing.T) {
	for what, harm := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGSTOP} {
		t.Run(what, func(t *testing.T) {
			const n = 400
			name := newPool(t, 1)
			release := holdSlot(t, name)
			crowd := command(t, "crowd", name, strconv.Itoa(n))
			if line := startLines(t, crowd)(); line != "in line" {
				t.Fatal(line)
			}
			living := mustStart(t, poolrun(t, "--pool", name, "true"))
			waitStatus(t, name, "the last in line", func(s status) bool { return s.Waiting == n+1 })
			crowd.Process.Signal(harm)
			release()
			wantPrompt(t, living, time.Now())
			end(t, []*exec.Cmd{crowd})
			wantEmpty(t, name)
		})
	}
}

// Whoever steps in passes none that lives, however many stopped ones stand before both.
func TestTheOrderIsKeptBehindManyStopped(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	stopped := queue(t, name, 80, func(cmd *exec.Cmd) *exec.Cmd { return inside(t, cmd) })
	file := filepath.Join(t.TempDir(), "order")
	var living []*exec.Cmd
	want := ""
	for i := range 60 {
		want += fmt.Sprintln(i)
		living = append(living, mustStart(t, poolrun(t, "--pool", name, "sh", "-c", fmt.Sprintf("echo %d >>%s", i, file))))
		waitStatus(t, name, "one more in line", func(s status) bool { return s.Waiting == len(stopped)+i+1 })
	}
	for _, cmd := range stopped {
		cmd.Process.Signal(syscall.SIGSTOP)
	}
	release()
	for _, cmd := range living {
		wantPrompt(t, cmd, time.Now())
	}
	if got := readFile(t, file); got != want {
		t.Errorf("served in the order %q", strings.Fields(got))
	}
	end(t, stopped)
	wantEmpty(t, name)
}

// The dead in the middle of the line are not shown as waiting.
func TestTheDeadInTheMiddleOfTheLineAreNotShown(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	first := queue(t, name, 1, asIs)
	dead := queue(t, name, 40, asIs)
	last := queue(t, name, 1, asIs)
	end(t, dead)
	s := statusOf(t, name)
	if s.Waiting != 2 || len(s.Waiters) != 2 || s.Waiters[1].PID != last[0].Process.Pid || s.Counters.Cancelled != 40 {
		t.Errorf("%+v", s)
	}
	release()
	for _, cmd := range append(first, last...) {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	wantEmpty(t, name)
}

// A deadline that comes while the ledger lock is not to be had is a deadline all the
// same, though somebody else takes the waiter out of the line.
func TestADeadlineIsCountedAsOneAlsoIfTheLockIsStuck(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	waiter := mustStart(t, poolrun(t, "--pool", name, "--timeout", "2s", "true"))
	waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
	unlock := lockLedger(t, name)
	waiter.Wait()
	unlock()
	if code := shellCode(waiter); code != 75 {
		t.Errorf("exit code %d", code)
	}
	if s := statusOf(t, name); s.Waiting != 0 || s.Counters.TimedOut != 1 || s.Counters.Cancelled != 0 {
		t.Errorf("%+v", s)
	}
	release()
	wantEmpty(t, name)
}

// lockLedger holds a pool's ledger lock, as a process that is stopped in a change does.
func lockLedger(t testing.TB, name string) (unlock func()) {
	t.Helper()
	fd, err := unix.Open(ledgerOf(name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(fd, unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { unix.Close(fd) }
}

// A library process has one thread that sleeps, however many of its goroutines wait.
func TestACrowdOfWaitersNeedsOneThread(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	crowd := command(t, "crowd", name, "300")
	next := startLines(t, crowd)
	next()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", crowd.Process.Pid))
	if err != nil || len(threads) == 0 || len(threads) > 20 {
		t.Errorf("%d threads for 300 waiters, %v", len(threads), err)
	}
	release()
	if line := next(); line != "all served" {
		t.Error(line)
	}
	if err := crowd.Wait(); err != nil {
		t.Error(err)
	}
	wantEmpty(t, name)
}
