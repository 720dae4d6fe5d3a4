package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A pool as a jobserver: what holds for its slots, whatever the client. Most clients are one of these
// tests (jobclient_test.go).

// styles are the ways in which clients are told of a jobserver.
var styles = []string{"fifo", "pipe"}

// wantNoDirectories checks that nothing of a pool's jobservers is left.
func wantNoDirectories(t testing.TB, name string) {
	t.Helper()
	if dirs := jobserversOf(ledgerOf(name)); len(dirs) > 0 {
		t.Errorf("left: %q", dirs)
	}
}

// A command that needs a slot waits for the end of one job at most, even if each build wants one more
// itself: they have slots already. Then builds take turns.
func TestACommandWaitsForOneJobOfABuild(t *testing.T) {
	onlyOnce(t)
	name, dir := newPool(t, 3), t.TempDir()
	var builds []*exec.Cmd
	for range 2 {
		builds = append(builds, mustStart(t, poolrun(t, "-p", name, "--jobserver=pipe", "--", "jobclient", "12", "job", dir, "500ms")))
	}
	waitStatus(t, name, "two builds that want more than there is", func(s status) bool {
		return len(s.Holders) == 2 && s.InUse == 3 && s.Waiting == 1
	})
	eventually(t, "three jobs", func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "log"))
		return strings.Count(string(text), "start") == 3
	})
	waiter := mustStart(t, poolrun(t, "-p", name, "--", "job", dir, "0s"))
	waitStatus(t, name, "the command in line", func(s status) bool {
		for _, w := range s.Waiters {
			if w.PID == waiter.Process.Pid {
				return true
			}
		}
		return false
	})
	noteInLog(t, dir, "arrival")
	wantExit(t, 0, waiter)
	wantExit(t, 0, builds...)
	_, after, _ := strings.Cut(readFile(t, filepath.Join(dir, "log")), "arrival\n")
	starts := 0
	for _, line := range strings.Split(after, "\n") {
		if word, pid, _ := strings.Cut(line, " "); word == "start" {
			if starts++; strings.Contains(after, "start "+pid+"\nend "+pid+"\n") { // it takes no time: it is the command
				break
			}
		}
	}
	if starts > 4 { // the next job of each build in its own slot, while its job in the third slot runs
		t.Errorf("%d jobs were started before the command:\n%s", starts-1, after)
	}
	wantEmpty(t, name)
}

func noteInLog(t testing.TB, dir, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintln(f, text)
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A command that ignores the jobserver runs in its slot. It holds one slot more that nobody uses, as long
// as nobody else wants it. Another build does not get that for longer than it needs it.
func TestASlotThatABuildDoesNotUseIsTakenBack(t *testing.T) {
	onlyOnce(t)
	for _, style := range styles {
		name := newPool(t, 2)
		idle := mustStart(t, poolrun(t, "-p", name, "--jobserver="+style, "--", "sleep", "60"))
		offered := func(s status) bool { return s.InUse == 2 && s.Waiting == 0 && len(s.Holders) == 1 }
		waitStatus(t, name, "an offer", offered)
		for range 3 {
			wantExit(t, 0, mustStart(t, poolrun(t, "-p", name, "--timeout", "30s", "--", "true")))
			waitStatus(t, name, "an offer again", offered)
		}
		waiter, line := startSemWaiter(t, name)
		wantLine(t, line, "taken")
		wantExit(t, 0, waiter)
		mustSem(t, "post", name)
		waitStatus(t, name, "an offer again", offered)
		mustRun(t, "resize", name, "1")
		waitStatus(t, name, "one slot less", func(s status) bool { return s.InUse == 1 && s.Size == 1 })
		mustRun(t, "resize", name, "2")
		waitStatus(t, name, "an offer again", offered)
		kill(t, childOf(idle.Process.Pid))
		wantSignal(t, syscall.SIGKILL, idle)
		wantEmpty(t, name)
		wantNoDirectories(t, name)
	}
}

// A stopped build keeps nothing that it does not use. Its poolrun does not stop with the ledger lock.
func TestAStoppedBuildOffersNothing(t *testing.T) {
	onlyOnce(t)
	for _, style := range styles {
		name := newPool(t, 2)
		idle := mustStart(t, poolrun(t, "-p", name, "--jobserver="+style, "--", "sleep", "60"))
		offered := func(s status) bool { return s.InUse == 2 && len(s.Holders) == 1 && s.Holders[0].CommandPID != 0 }
		pid := waitStatus(t, name, "an offer", offered).Holders[0].CommandPID
		for range 20 {
			syscall.Kill(pid, syscall.SIGSTOP)
			waitForState(t, 'T', idle.Process.Pid)
			wantResult(t, poolrun(t, "-p", name, "--timeout", "30s", "--", "true"), 0, "^$")
			syscall.Kill(pid, syscall.SIGCONT)
			waitStatus(t, name, "an offer again", offered)
		}
		kill(t, pid)
		wantSignal(t, syscall.SIGKILL, idle)
		wantEmpty(t, name)
	}
}

// Builds that have no use for more slots, and whose pool is full, take no CPU time.
func TestIdleBuildsTakeNoTime(t *testing.T) {
	onlyOnce(t)
	name := newPool(t, 4)
	var builds []*exec.Cmd
	for range 3 {
		builds = append(builds, mustStart(t, poolrun(t, "-p", name, "--jobserver", "--", "sleep", "60")))
	}
	waitStatus(t, name, "a full pool", func(s status) bool { return s.InUse == 4 })
	used := func() (ticks int) {
		for _, cmd := range builds {
			text := readFile(t, fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
			fields := strings.Fields(text[strings.LastIndexByte(text, ')')+2:])
			for _, field := range fields[11:13] { // utime and stime, proc_pid_stat(5)
				n, err := strconv.Atoi(field)
				if err != nil {
					t.Fatal(err)
				}
				ticks += n
			}
		}
		return ticks
	}
	const span = 6 * time.Second
	time.Sleep(2 * time.Second) // the pauses get longer
	before, acquired := used(), statusOf(t, name).Counters.Acquired
	time.Sleep(span)
	if n := statusOf(t, name).Counters.Acquired - acquired; n > 40 { // about one a second and build
		t.Errorf("%d tokens were passed around in %v", n, span)
	}
	if ticks := used() - before; ticks > 6 { // 1 % of one CPU for all three
		t.Errorf("%d ms in %v", 10*ticks, span)
	}
	end(builds...)
	for _, h := range statusOf(t, name).Holders {
		kill(t, h.CommandPID)
	}
	wantUsable(t, name)
}

// If poolrun is killed, all slots stay held until the build has ended. If the build is killed, all are
// free at once.
func TestTheSlotsOfABuildOutliveItsPoolrun(t *testing.T) {
	onlyOnce(t)
	for _, style := range styles {
		for _, extra := range [][]string{nil, {"--close"}} {
			t.Run(fmt.Sprint(style, extra), func(t *testing.T) {
				name := newPool(t, 4)
				start := func() (*exec.Cmd, int) {
					cmd := poolrun(t, append(extra, "-p", name, "--jobserver="+style, "--", "tokens", "2")...)
					stdin, open, err := os.Pipe() // which cmd.Wait does not close
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { open.Close() })
					cmd.Stdin = stdin
					wantLine(t, startLines(t, cmd), "got 2")
					waitStatus(t, name, "an offer", func(s status) bool { return s.InUse == 4 && len(s.Holders) == 1 })
					return cmd, statusOf(t, name).Holders[0].CommandPID
				}
				cmd, client := start()
				kill(t, cmd.Process.Pid)
				cmd.Wait()
				s := statusOf(t, name)
				if len(s.Holders) != 1 || s.Holders[0].State != "orphaned" || len(s.Holders[0].Slots) != 4 {
					t.Errorf("%+v", s)
				}
				wantResult(t, poolrun(t, "-p", name, "-n", "true"), 75, "no free slot")
				kill(t, client)
				wantUsable(t, name)

				cmd, client = start()
				kill(t, client)
				wantSignal(t, syscall.SIGKILL, cmd)
				wantEmpty(t, name)
				if style == "fifo" { // what the killed one has left is removed
					wantNoDirectories(t, name)
				}
			})
		}
	}
}

// The number of jobs follows the size of the pool while a build runs.
func TestABuildFollowsTheSizeOfThePool(t *testing.T) {
	onlyOnce(t)
	for _, style := range styles {
		name, dir := newPool(t, 2), t.TempDir()
		cmd := poolrun(t, "-p", name, "--jobserver="+style, "--", "jobclient", "1000", "job", dir, "200ms")
		cmd.Dir = dir
		mustStart(t, cmd)
		for _, size := range []int{4, 1, 3} {
			mustRun(t, "resize", name, fmt.Sprint(size))
			waitStatus(t, name, "another size", func(s status) bool { return s.InUse == size })
			end := observe(dir, "job", size)
			time.Sleep(time.Second)
			wantObserved(t, size, end)
		}
		end(cmd)
		for _, h := range statusOf(t, name).Holders {
			kill(t, h.CommandPID)
		}
		waitStatus(t, name, "the end of its last jobs", func(s status) bool { return s.InUse == 0 })
		wantUsable(t, name)
	}
}

// While its pool is drained, a build finishes with the slots that it has.
func TestADrainLetsABuildFinish(t *testing.T) {
	onlyOnce(t)
	for _, style := range styles {
		name, dir := newPool(t, 3), t.TempDir()
		cmd := poolrun(t, "-p", name, "--jobserver="+style, "--", "jobclient", "30", "job", dir, "200ms")
		cmd.Dir = dir
		mustStart(t, cmd)
		waitStatus(t, name, "three jobs", func(s status) bool { return s.InUse == 3 })
		drain := mustStart(t, poolrun(t, "destroy", name, "--drain"))
		waitStatus(t, name, "a drain", func(s status) bool { return s.Draining })
		end := observe(dir, "job", 3)
		time.Sleep(500 * time.Millisecond)
		wantObserved(t, 3, end)
		wantExit(t, 0, cmd, drain)
	}
}

// Then a build also keeps slots that it does not use for a while.
func TestABuildKeepsItsSlotsInADrain(t *testing.T) {
	onlyOnce(t)
	for _, style := range styles {
		name := newPool(t, 3)
		cmd := poolrun(t, "-p", name, "--jobserver="+style, "--", "tokens", "2")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		lines := startLines(t, cmd)
		wantLine(t, lines, "got 2")
		drain := mustStart(t, poolrun(t, "destroy", name, "--drain"))
		waitStatus(t, name, "a drain", func(s status) bool { return s.Draining })
		for range 3 {
			fmt.Fprintln(stdin)
			wantLine(t, lines, "returned 2")
			time.Sleep(50 * time.Millisecond) // in which one could be taken back
			fmt.Fprintln(stdin)
			wantLine(t, lines, "got 2")
		}
		stdin.Close()
		wantExit(t, 0, cmd, drain)
	}
}

// A client that returns too much, or something else, gets no more slots for it. poolrun says so.
func TestABadClientDoesNotRaiseTheLimit(t *testing.T) {
	onlyOnce(t)
	for _, style := range styles {
		for mode, text := range map[string]string{
			"surplus": "returned more tokens to the jobserver than it had taken: ",
			"odd":     "a byte to the jobserver that is no token", "keep": "", "": "",
		} {
			name, dir := newPool(t, 3), t.TempDir()
			cmd := poolrun(t, "-v", "-p", name, "--jobserver="+style, "--", "jobclient", "3", "job", dir, "100ms")
			cmd.Env = append(cmd.Env, "JOBS="+mode)
			_, stderr := outputs(t, cmd)
			if isSaid := strings.Contains(stderr, "to the jobserver"); isSaid != (text != "") || !strings.Contains(stderr, text) {
				t.Errorf("%s, %q:\n%s", style, mode, stderr)
			}
			wantEmpty(t, name)
		}
	}
}

// A command in a slot can run a build whose jobs get further slots.
func TestABuildInASlotGetsFurtherSlots(t *testing.T) {
	onlyOnce(t)
	for _, style := range styles {
		name, dir := newPool(t, 3), t.TempDir()
		end := observe(dir, "job", 3)
		cmd := poolrun(t, "-p", name, "--", "sh", "-c",
			fmt.Sprintf("poolrun -p %s --jobserver=%s -- jobclient 20 job . 100ms; poolrun status %s --format json", name, style, name))
		cmd.Dir = dir
		stdout, _ := outputs(t, cmd)
		wantObserved(t, 3, end)
		if !strings.Contains(stdout, `"in_use":1,`) {
			t.Error(stdout)
		}
		wantEmpty(t, name)
	}
}

// The options of a request hold for the slot of each job.
func TestEachJobIsRequestedLikeTheFirst(t *testing.T) {
	onlyOnce(t)
	name, dir := newPool(t, 6), t.TempDir()
	end := observe(dir, "job", 3)
	cmd := poolrun(t, "-p", name, "-k", "2", "-j", "--", "jobclient", "15", "job", dir, "100ms")
	cmd.Dir = dir
	wantExit(t, 0, mustStart(t, cmd))
	wantObserved(t, 3, end)

	// All slots: one job. Its request for more would hold up everybody.
	end = observe(dir, "job", 1)
	cmd = poolrun(t, "-p", name, "-k", "all", "-j", "--", "jobclient", "5", "job", dir, "100ms")
	cmd.Dir = dir
	wantExit(t, 0, mustStart(t, cmd))
	wantObserved(t, 1, end)

	// A build of a better priority has its turn before a command.
	first := mustStart(t, poolrun(t, "-p", name, "-k", "4", "--", "sleep", "60"))
	second := poolrun(t, "-p", name, "--priority", "-5", "-j", "--", "tokens", "2")
	stdin, err := second.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	lines := startLines(t, second)
	waitStatus(t, name, "a build that wants one more", func(s status) bool { return s.InUse == 6 && s.Waiting == 1 })
	// It does not count as one that waits already.
	wantResult(t, poolrun(t, "-p", name, "--max-waiting", "1", "--timeout", "100ms", "true"), 75, "no free slot in pool .* within 100ms")
	third := mustStart(t, poolrun(t, "-p", name, "-k", "4", "--", "true"))
	waitStatus(t, name, "a command in line", func(s status) bool { return s.Waiting == 2 && s.Waiters[1].PID == third.Process.Pid })
	kill(t, childOf(first.Process.Pid))
	first.Wait()
	wantLine(t, lines, "got 2")
	if s := statusOf(t, name); s.Waiting == 0 {
		t.Errorf("%+v", s)
	}
	stdin.Close()
	wantExit(t, 0, second, third)
	wantEmpty(t, name)
}

// With a limit on its run time, a build gives all slots back in time. With --wait-tree, it keeps all
// until its last process has ended.
func TestTheEndOfABuildIsThatOfItsCommand(t *testing.T) {
	onlyOnce(t)
	for _, style := range styles {
		name, dir := newPool(t, 3), t.TempDir()
		wantExit(t, 124, mustStart(t, poolrun(t, "-p", name, "--jobserver="+style, "--max-runtime", "200ms", "--", "jobclient", "5", "job", dir, "60s")))
		wantEmpty(t, name)

		script := "(sleep 0.3; exec jobclient 6 job " + dir + " 100ms) & "
		cmd := mustStart(t, poolrun(t, "-p", name, "--jobserver="+style, "--wait-tree", "--", "sh", "-c", script))
		waitStatus(t, name, "three jobs", func(s status) bool { return s.InUse == 3 })
		wantExit(t, 0, cmd)
		if ends := strings.Count(readFile(t, filepath.Join(dir, "log")), "end"); ends != 6 {
			t.Errorf("%d jobs ended", ends)
		}
		wantEmpty(t, name)
	}
}
