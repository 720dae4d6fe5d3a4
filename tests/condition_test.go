package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// more is more memory than any machine has.
const more = "9999T"

// A condition holds the first in line, which status says, and nobody overtakes it.
func TestAConditionHoldsTheLine(t *testing.T) {
	name := newPool(t, 2)
	held := mustStart(t, poolrun(t, "--pool", name, "--memfree", more, "true"))
	waitStatus(t, name, "the condition", func(s status) bool { return s.Waiting == 1 && s.Waiters[0].WaitsFor == "9999 TB of free memory" })
	wantResult(t, poolrun(t, "status", name), 0, "\n1 +9999 TB of free memory +")
	behind := startWaiter(t, name) // although two slots are free
	wantResult(t, poolrun(t, "--pool", name, "-n", "true"), 75, "^poolrun: no free slot in pool "+name+": others wait for it already\n$")
	wantResult(t, poolrun(t, "--pool", name, "--priority", "-1", "true"), 0, "")
	held.Process.Signal(syscall.SIGTERM)
	wantSignal(t, syscall.SIGTERM, held)
	wantExit(t, 0, behind)
	wantEmpty(t, name)
}

// A command that cannot have what it needs in time is told what that was.
func TestAConditionThatIsNotMetInTime(t *testing.T) {
	name := newPool(t, 1)
	wantResult(t, poolrun(t, "--pool", name, "--memfree", more, "-n", "true"), 75, "^poolrun: cannot start in pool "+name+" yet: it waits for 9999 TB of free memory\n$")
	wantResult(t, poolrun(t, "--pool", name, "--memfree", more, "-w", "0.1", "-E", "9", "true"), 9, "^poolrun: cannot start in pool "+name+" yet: .*9999 TB of free memory \\(gave up after 100ms\\)\n$")
	wantResult(t, poolrun(t, "--pool", name, "--memfree", more, "-w", "0.1", "-q", "true"), 75, "^$")
	n := statusOf(t, name).Counters
	if n.Busy != 1 || n.TimedOut != 2 || n.Acquired != 0 {
		t.Errorf("%+v", n)
	}
	// While the slot is taken, the command waits for that.
	release := holdSlot(t, name)
	cmd := mustStart(t, poolrun(t, "--pool", name, "--memfree", more, "-w", "30", "true"))
	if s := waitForLine(t, name, 1); s.Waiters[0].WaitsFor != "a slot" {
		t.Errorf("%+v", s.Waiters)
	}
	release()
	waitStatus(t, name, "the condition", func(s status) bool { return s.Waiters[0].WaitsFor != "a slot" })
	cmd.Process.Signal(syscall.SIGINT)
	wantSignal(t, syscall.SIGINT, cmd)
	wantEmpty(t, name)
}

func TestConditionsThatAreMetHoldNobody(t *testing.T) {
	name := newPool(t, 1)
	for _, args := range [][]string{{"--memfree", "1M"}, {"--memfree", "0.5K"}, {"--load", "100000"}, {"--load", "9999999%"}, {"--memfree", "1", "--load", "99999.5"}} {
		wantResult(t, poolrun(t, append(append([]string{"--pool", name, "-n"}, args...), "true")...), 0, "")
	}
	wantEmpty(t, name)
}

// memoryGroup makes a control group with a limit of so many bytes. It returns its list of processes.
func memoryGroup(t *testing.T, limit string) (processes string) {
	t.Helper()
	needRoot(t)
	for dir, file := range map[string]string{"/sys/fs/cgroup": "memory.max", "/sys/fs/cgroup/memory": "memory.limit_in_bytes"} {
		group := filepath.Join(dir, filepath.Base(freeName(t)))
		if os.Mkdir(group, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { syscall.Rmdir(group) })
		if f, err := os.OpenFile(filepath.Join(group, file), os.O_WRONLY, 0); err == nil {
			_, err = f.WriteString(limit)
			f.Close()
			if err == nil {
				return filepath.Join(group, "cgroup.procs")
			}
		}
	}
	t.Skip("no control group for memory can be made here")
	return ""
}

// The limit of a control group counts, not only the memory of the machine.
func TestMemoryIsThatOfTheControlGroup(t *testing.T) {
	processes := memoryGroup(t, "100000000")
	name := newPool(t, 1)
	inside := func(size string) *exec.Cmd {
		return command(t, "sh", "-c", "echo $$ >"+processes+" && exec "+binaries.poolrun+" --pool "+name+" -n --memfree "+size+" true")
	}
	wantResult(t, inside("200M"), 75, "200 MB of free memory")
	wantResult(t, inside("20M"), 0, "")
	wantResult(t, poolrun(t, "--pool", name, "-n", "--memfree", "200M", "true"), 0, "")
}

// starts returns how much time passed between the starts of so many commands that came at once.
func starts(t *testing.T, name string, n int, flags ...string) (between []time.Duration) {
	t.Helper()
	args := append(append([]string{"--pool", name}, flags...), "date", "+%s.%N")
	var outputs []*strings.Builder
	var line []*exec.Cmd
	for range n {
		cmd, out := poolrun(t, args...), new(strings.Builder)
		cmd.Stdout = out
		outputs, line = append(outputs, out), append(line, mustStart(t, cmd))
	}
	wantExit(t, 0, line...)
	var times []float64
	for _, out := range outputs {
		at, err := strconv.ParseFloat(strings.TrimSpace(out.String()), 64)
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, at)
	}
	slices.Sort(times)
	for i := 1; i < n; i++ {
		between = append(between, time.Duration((times[i]-times[i-1])*float64(time.Second)))
	}
	return between
}

// The pool's delay passes between two starts, however many slots are free.
func TestADelayPassesBetweenStarts(t *testing.T) {
	name := freeName(t)
	mustRun(t, "init", name, "--size", "8", "--delay", "300ms")
	for _, d := range starts(t, name, 5) {
		if d < 250*time.Millisecond { // a command can start later than it got its slot
			t.Errorf("%v between two starts", d)
		}
	}
	name = freeName(t)
	mustRun(t, "init", name, "--size", "2", "--delay", "1h")
	mustRun(t, "--pool", name, "true")
	wantResult(t, poolrun(t, "--pool", name, "-n", "true"), 75, "cannot start in pool "+name+" yet: it waits for 1h0m0s between two starts")
	wantResult(t, poolrun(t, "status", name), 0, `\(1h0m0s between two starts\)`)
}

// A request for all slots follows the pool's size while it waits.
func TestTheWholePool(t *testing.T) {
	name := newPool(t, 3)
	wantResult(t, poolrun(t, "--pool", name, "-k", "all", "sh", "-c", "echo $POOLRUN_SLOTS"), 0, "^0,1,2\n$")
	release := holdSlot(t, name)
	wantResult(t, poolrun(t, "--pool", name, "-k", "all", "-n", "true"), 75, "")
	cmd := poolrun(t, "--pool", name, "-k", "all", "sh", "-c", "echo $POOLRUN_SLOTS")
	var out strings.Builder
	cmd.Stdout = &out
	mustStart(t, cmd)
	if s := waitForLine(t, name, 1); s.Waiters[0].WaitsFor != "all slots" {
		t.Errorf("%+v", s.Waiters)
	}
	mustRun(t, "resize", name, "0")
	mustRun(t, "resize", name, "5")
	mustRun(t, "resize", name, "2")
	release()
	wantExit(t, 0, cmd)
	if out.String() != "0,1\n" {
		t.Errorf("%q", out.String())
	}
	mustRun(t, "resize", name, "0")
	paused := mustStart(t, poolrun(t, "--pool", name, "-k", "all", "true"))
	waitForLine(t, name, 1)
	mustRun(t, "resize", name, "4")
	wantExit(t, 0, paused)
	wantEmpty(t, name)
}

// One runs, one waits, and all others are skipped. The dead do not wait.
func TestTheLineIsLimited(t *testing.T) {
	name := newPool(t, 1)
	limited := func(n string) *exec.Cmd { return poolrun(t, "--pool", name, "--max-waiting", n, "true") }
	wantResult(t, limited("0"), 0, "")
	wantExit(t, 0, mustStart(t, section(t, "bash", "", name, "ACQUIRE"))) // leaves a dead holder
	wantResult(t, limited("0"), 0, "")
	release := holdSlot(t, name)
	wantResult(t, limited("0"), 75, "^poolrun: no free slot in pool "+name+": the line has 0 already\n$")
	first := mustStart(t, limited("1"))
	waitForLine(t, name, 1)
	wantResult(t, limited("1"), 75, "the line has 1 already")
	second := mustStart(t, limited("2"))
	waitForLine(t, name, 2)
	end(second) // by SIGKILL
	third := mustStart(t, limited("2"))
	waitStatus(t, name, "the third in line", func(s status) bool {
		return s.Waiting == 2 && s.Waiters[1].PID == third.Process.Pid
	})
	release()
	wantExit(t, 0, first, third)
	wantEmpty(t, name)
	if n := statusOf(t, name).Counters; n.Busy != 2 || n.Cancelled != 1 {
		t.Errorf("%+v", n)
	}
}
