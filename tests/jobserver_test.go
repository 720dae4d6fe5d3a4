package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A pool as a jobserver. The clients are real programs and one of these tests (jobclient_test.go). An
// observer counts their jobs in /proc.

// styles are the ways in which clients are told of a jobserver.
var styles = []string{"fifo", "pipe"}

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
	t.Logf("%.0f %%", 100*share)
	if most != n || share < 0.5 {
		t.Errorf("%d at once at most instead of %d, which were seen in %.0f %% of the looks", most, n, 100*share)
	}
}

// projects writes copies of the example's project.
func projects(t testing.TB, n int) (dir string, paths []string) {
	t.Helper()
	dir = t.TempDir()
	for i := range n {
		path := filepath.Join(dir, fmt.Sprint("project", i))
		wantResult(t, command(t, example(t, "jobserver/generate.sh"), path), 0, "^$")
		paths = append(paths, path)
	}
	return dir, paths
}

func wantProject(t testing.TB, path string) {
	t.Helper()
	if out, err := exec.Command(filepath.Join(path, "build/program")).Output(); err != nil || string(out) != "861\n" {
		t.Errorf("%s: %v %q", path, err, out)
	}
}

// newerMake returns a GNU make of version 4.4 or later, which MAKE44 can name, or "".
func newerMake() string {
	for _, path := range []string{os.Getenv("MAKE44"), "make"} {
		out, _ := exec.Command(path, "--version").Output()
		var major, minor int
		if fmt.Sscanf(string(out), "GNU Make %d.%d", &major, &minor); major > 4 || major == 4 && minor >= 4 {
			return path
		}
	}
	return ""
}

// makes returns the programs and styles of GNU make that there are.
func makes(t testing.TB) [][2]string {
	needPrograms(t, "make", "gcc")
	list := [][2]string{{"make", "pipe"}}
	if newer := newerMake(); newer != "" {
		list = append(list, [2]string{newer, "fifo"})
	}
	return list
}

// Builds share the pool's slots, and each has the right result, without a warning of make's. At the end
// nothing is left.
func TestBuildsShareAPool(t *testing.T) {
	onlyOnce(t)
	for _, m := range makes(t) {
		for _, n := range []int{2, 3} {
			t.Run(fmt.Sprint(m[1], " ", n), func(t *testing.T) {
				name := newPool(t, 3)
				dir, paths := projects(t, n)
				end := observe(dir, "gcc", 3)
				var builds []*exec.Cmd
				for _, path := range paths {
					cmd := poolrun(t, "-p", name, "-j", "--", m[0], "-s", "-C", path)
					cmd.Stderr = new(strings.Builder)
					builds = append(builds, mustStart(t, cmd))
				}
				wantExit(t, 0, builds...)
				wantObserved(t, 3, end)
				for i, path := range paths {
					wantProject(t, path)
					if text := builds[i].Stderr.(*strings.Builder).String(); text != "" {
						t.Error(text)
					}
				}
				wantEmpty(t, name)
				wantNoDirectories(t, name)
			})
		}
	}
}

// wantNoDirectories checks that nothing of a pool's jobservers is left.
func wantNoDirectories(t testing.TB, name string) {
	t.Helper()
	ledger, err := os.ReadFile(ledgerOf(name))
	if err != nil {
		t.Fatal(err)
	}
	id := uint64(0)
	for i := range 8 {
		id |= uint64(ledger[16+i]) << (8 * i)
	}
	if dirs, _ := filepath.Glob(fmt.Sprintf("/dev/shm/.poolrun-jobserver.%x.*", id)); len(dirs) > 0 {
		t.Errorf("left: %q", dirs)
	}
}

// GNU make before 4.4 is given descriptors without being asked for, and poolrun says so. Other
// commands, and a newer make, are given a FIFO. What else the caller has in MAKEFLAGS stays.
func TestTheStyleIsThatOfTheProgram(t *testing.T) {
	onlyOnce(t)
	name, dir := newPool(t, 2), t.TempDir()
	for version, want := range map[string]string{"4.3": "pipe", "4.2.1": "pipe", "4.4": "fifo", "4.4.1": "fifo", "5.0": "fifo", "10.0": "fifo"} {
		make := filepath.Join(dir, "make")
		writeScript(t, make, `case "$MAKEFLAGS" in *jobserver*) echo "$MAKEFLAGS" ;; *) echo "GNU Make `+version+`" ;; esac`)
		wantMakeflags(t, want, "k -s", poolrun(t, "-p", name, "-jv", "--", make), want == "pipe")
		wantMakeflags(t, "fifo", "k -s", poolrun(t, "-p", name, "--jobserver=fifo", "--", make), false)
		wantMakeflags(t, "pipe", "k -s", poolrun(t, "-p", name, "--jobserver=pipe", "--", make), false)
	}
	wantMakeflags(t, "fifo", "k -s", poolrun(t, "-p", name, "--jobserver", "--", "sh", "-c", `echo "$MAKEFLAGS"`), false)
	wantResult(t, poolrun(t, "-p", name, "--jobserver=other", "true"), 2, `^poolrun: --jobserver: invalid jobserver "other": want fifo or pipe\n`)
	for files := 16; files < 60; files++ { // with few descriptors it works, or takes no slot
		fresh := newPool(t, 2)
		cmd := command(t, "bash", "-c", fmt.Sprintf("ulimit -n %d; exec poolrun -p %s --jobserver=pipe -- true", files, fresh))
		if code, n := exitCode(t, cmd), statusOf(t, fresh).Counters.Acquired; code != 0 && (code != 2 || n != 0 || files > 28) {
			t.Errorf("ulimit -n %d: exit code %d, %d acquired", files, code, n)
		}
		mustRun(t, "destroy", fresh)
	}
	wantResult(t, poolrun(t, "-p", name, "-jF", "true"), 2, `--jobserver needs a process that stays beside the command`)
}

func wantMakeflags(t testing.TB, style, kept string, cmd *exec.Cmd, isSaid bool) {
	t.Helper()
	cmd.Env = append(cmd.Env, `MAKEFLAGS=`+kept+` -j8 --jobserver-auth=3,4 -- NAME=a\ b`)
	stdout, stderr := outputs(t, cmd)
	auth := `fifo:/dev/shm/\.poolrun-jobserver\.[0-9a-f.]+/tokens`
	if style == "pipe" {
		auth = `5\d,5\d`
	}
	if want := `^` + kept + ` -j --jobserver-auth=` + auth + ` -- NAME=a\\ b\n$`; !regexp.MustCompile(want).MatchString(stdout) {
		t.Errorf("%s: %q does not match %s", style, stdout, want)
	}
	if strings.Contains(stderr, "is chosen, because") != isSaid {
		t.Errorf("%s: %s", style, stderr)
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
	waitStatus(t, name, "two builds that both want more", func(s status) bool {
		return len(s.Holders) == 2 && s.InUse == 3 && s.Waiting == 2
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

// A make below the build uses its jobserver. So does a poolrun on the same pool, which needs no slot of
// its own; one on another pool waits there. A jobserver for a part of a build is that of the build.
func TestWhatRunsInABuild(t *testing.T) {
	onlyOnce(t)
	for _, m := range makes(t) {
		t.Run(m[1], func(t *testing.T) {
			name, other, dir := newPool(t, 2), newPool(t, 1), t.TempDir()
			makefile := `
all: a b c d
a b c d:
	+@$(MAKE) -s -f inner.mk
`
			inner := fmt.Sprintf(`
all: 1 2 3 4 5
1 2: ; @poolrun -p %[1]s -- job . 20ms
3: ; @env -u POOLRUN_HELD poolrun -p %[2]s -- job . 20ms
4: ; +@poolrun -p %[1]s -j -- %[3]s -s -f innermost.mk
5: ; @job . 20ms
.PHONY: all 1 2 3 4 5
`, name, other, m[0])
			innermost := "all: 1 2 3\n1 2 3: ; @job . 20ms\n.PHONY: all 1 2 3\n"
			for file, text := range map[string]string{"Makefile": makefile, "inner.mk": inner, "innermost.mk": innermost} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			end := observe(dir, "job", 2)
			cmd := poolrun(t, "-p", name, "-j", "--", m[0], "-s")
			cmd.Dir = dir
			if stdout, stderr := outputs(t, cmd); stdout+stderr != "" {
				t.Errorf("%s%s", stdout, stderr)
			}
			if most, _ := end(); most != 2 {
				t.Errorf("%d jobs at once", most)
			}
			if starts := strings.Count(readFile(t, filepath.Join(dir, "log")), "start"); starts != 4*7 {
				t.Errorf("%d jobs", starts)
			}
			wantEmpty(t, name)
			wantEmpty(t, other)
		})
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

// gcc runs the parts of a link-time optimization as jobs.
func TestGccIsAClient(t *testing.T) {
	onlyOnce(t)
	needPrograms(t, "gcc", "make")
	name := newPool(t, 3)
	_, paths := projects(t, 1)
	for _, run := range [][]string{
		{"-p", name, "--jobserver=pipe", "--", "make", "-s", "-C", paths[0], "CFLAGS=-O1 -flto", "CC=gcc", "build/program"},
		{"-p", name, "--jobserver=pipe", "--", "sh", "-c", "cd " + paths[0] + "/build && gcc -O1 -flto=jobserver -flto-partition=max -o program *.o"},
	} {
		stdout, stderr := outputs(t, poolrun(t, run...))
		if strings.Contains(stdout+stderr, "jobserver") {
			t.Error(stdout, stderr)
		}
		wantProject(t, paths[0])
	}
	wantEmpty(t, name)
}

// newerNinja returns a Ninja of version 1.13 or later, which NINJA113 can name, or "".
func newerNinja() string {
	for _, path := range []string{os.Getenv("NINJA113"), "ninja"} {
		out, _ := exec.Command(path, "--version").Output()
		var major, minor int
		if fmt.Sscanf(string(out), "%d.%d", &major, &minor); major > 1 || major == 1 && minor >= 13 {
			return path
		}
	}
	return ""
}

func TestNinjaIsAClient(t *testing.T) {
	onlyOnce(t)
	ninja := newerNinja()
	if ninja == "" {
		t.Skip("no Ninja 1.13 or later: NINJA113 can name one")
	}
	name, dir := newPool(t, 3), t.TempDir()
	text := "rule job\n  command = job . 200ms && touch $out\n"
	for i := range 30 {
		text += fmt.Sprintf("build out%d: job\n", i)
	}
	if err := os.WriteFile(filepath.Join(dir, "build.ninja"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	end := observe(dir, "job", 3)
	cmd := poolrun(t, "-p", name, "-j", "--", ninja)
	cmd.Dir = dir
	if stdout, stderr := outputs(t, cmd); strings.Contains(stdout+stderr, "warning") {
		t.Error(stdout, stderr)
	}
	wantObserved(t, 3, end)
	wantEmpty(t, name)
}

func TestCargoIsAClient(t *testing.T) {
	onlyOnce(t)
	for _, program := range []string{"cargo", "rustc"} {
		if err := exec.Command(program, "--version").Run(); err != nil {
			t.Skipf("%s: %v", program, err)
		}
	}
	for _, style := range styles {
		name, dir := newPool(t, 2), t.TempDir()
		write := func(path, text string) {
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("Cargo.toml", "[workspace]\nmembers = [\"part*\"]\nresolver = \"2\"\n")
		for i := range 6 {
			part := fmt.Sprint("part", i)
			write(part+"/Cargo.toml", "[package]\nname = \""+part+"\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
			write(part+"/src/lib.rs", "pub fn sum(n: &[u32]) -> String { format!(\"{:?} {}\", n, n.iter().map(|x| x * 2).sum::<u32>()) }\n")
		}
		end := observe(dir, "rustc", 2)
		cmd := poolrun(t, "-v", "-p", name, "--jobserver="+style, "--", "cargo", "build", "--release", "--offline")
		cmd.Dir = dir
		_, stderr := outputs(t, cmd)
		if strings.Contains(stderr, "warning") || strings.Contains(stderr, "to the jobserver") {
			t.Error(stderr)
		}
		if most, _ := end(); most != 2 {
			t.Errorf("%s: %d at once", style, most)
		}
		wantEmpty(t, name)
	}
}
