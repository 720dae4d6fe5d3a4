package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Under a limit that is too small for the Go runtime, poolrun runs its command, and the command
// has the same limit.
func TestSmallLimitsAreTheCommandsAlone(t *testing.T) {
	name := newPool(t, 1)
	for _, limit := range []string{
		"-v 80000", "-v 524288", "-v 1150000", "-v 1200000", "-S -v 20000", "-d 20000", "-d 40000", "-S -d 5000",
		"-s 100", "-s unlimited", "-n 16", "-S -n 5", "-f 0", "-l 0", "-t 5",
		"-v 300000; ulimit -d 30000; ulimit -s 64; ulimit -n 20",
	} {
		const look = `-- sh -c 'ulimit -S -a; ulimit -H -a; exit 7'`
		bare, _ := command(t, "sh", "-c", "ulimit "+limit+"; exec env "+strings.TrimPrefix(look, "-- ")).Output()
		cmd := command(t, "sh", "-c", "ulimit "+limit+"; exec poolrun --pool "+name+" "+look)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		with, _ := cmd.Output()
		if code := shellCode(cmd.ProcessState); code != 7 || string(with) != string(bare) || stderr.Len() > 0 {
			t.Errorf("ulimit %s: exit code %d, %s\n%s", limit, code, stderr.String(), difference(string(with), string(bare)))
		}
	}
	wantEmpty(t, name)
}

// A limit that is too small for the Go runtime is reported in one line, before a slot is taken. An
// ordinary run does not need the runtime; "1e1" is a duration that the quick parser does not read.
func TestTooSmallLimitsAreReportedInOneLine(t *testing.T) {
	name := freeName(t)
	wantResult(t, asNobody(t, poolrun(t, "init", name, "--size", "1")), 0, "")
	for limit, text := range map[string]string{
		"-v 20000": `^poolrun: .*20000.*ulimit -v.*\n$`,
		"-d 5000":  `^poolrun: .*5000.*ulimit -d.*\n$`,
		"-n 7":     `^poolrun: .*7.*ulimit -n.*\n$`,
	} {
		wantResult(t, asNobody(t, command(t, "sh", "-c", "ulimit "+limit+"; exec poolrun --timeout 1e1 --pool "+name+" -- true")), 2, text)
	}
	if s := statusOf(t, name); s.Counters.Acquired != 0 {
		t.Errorf("a slot was taken: %+v", s)
	}
}

// At the limit of processes the runtime cannot start a thread. poolrun reports it in one line.
func TestTheLimitOfProcessesIsReportedInOneLine(t *testing.T) {
	name := freeName(t)
	user := &syscall.Credential{Uid: 61234, Gid: nobody} // a user without other processes
	as := func(cmd *exec.Cmd) *exec.Cmd {
		cmd = asNobody(t, cmd)
		cmd.SysProcAttr.Credential = user
		return cmd
	}
	wantResult(t, as(poolrun(t, "init", name, "--size", "1")), 0, "")
	printed := map[string]bool{}
	for limit := 1; limit <= 6; limit++ {
		cmd := as(command(t, "prlimit", fmt.Sprintf("--nproc=%d", limit), "poolrun", "--pool", name, "--", "true"))
		out, _ := cmd.CombinedOutput()
		code := shellCode(cmd.ProcessState)
		if lines := strings.Count(string(out), "\n"); !(code == 0 && lines == 0 || code == 2 && lines == 1 && strings.HasPrefix(string(out), "poolrun: cannot ")) {
			t.Errorf("%d processes: exit code %d\n%s", limit, code, out)
		}
		printed[string(out)] = true
	}
	if len(printed) < 2 {
		t.Errorf("all limits had the same effect: %v", printed)
	}
	wantEmpty(t, name)
}

// The variables that are meant for a Go program as the command do not change poolrun.
func TestVariablesForGoProgramsChangeNothing(t *testing.T) {
	name := newPool(t, 1)
	for _, variable := range []string{
		"GOMEMLIMIT=512Mi", "GODEBUG=inittrace=1,schedtrace=1", "GOTRACEBACK=crash", "GOGC=0", "GOMAXPROCS=0", "GOMAXPROCS=64",
		"ZONEINFO=/nowhere", "GOCOVERDIR=/nowhere", "GODEBUG=clobberfree=1,dontfreezetheworld=1", "GOFIPS140=x", "GODEBUG=fips140=only",
	} {
		for _, args := range [][]string{{"--pool", name, "--", "sh", "-c", "echo ok ${" + strings.SplitN(variable, "=", 2)[0] + "}"}, {"version"}} {
			cmd := poolrun(t, args...)
			cmd.Env = append(cmd.Env, variable)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil || stderr.Len() > 0 || args[0] != "version" && string(out) != "ok "+strings.SplitN(variable, "=", 2)[1]+"\n" {
				t.Errorf("%s %q: %v %q %q", variable, args, err, out, stderr.String())
			}
		}
	}
}

// While the command runs, poolrun needs neither more memory nor another thread.
func TestASupervisingPoolrunNeedsNothingMore(t *testing.T) {
	name := newPool(t, 1)
	cmd, child := startHolder(t, name)
	eventually(t, "all of poolrun asleep", func() bool {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", cmd.Process.Pid))
		return err == nil && !slices.ContainsFunc(tasks, func(task string) bool {
			text, err := os.ReadFile(task)
			return err != nil || stateOf(string(text)) != 'S'
		})
	})
	for _, resource := range []int{unix.RLIMIT_AS, unix.RLIMIT_DATA, unix.RLIMIT_NPROC} {
		var limit unix.Rlimit
		if err := unix.Prlimit(cmd.Process.Pid, resource, nil, &limit); err != nil {
			t.Fatal(err)
		}
		limit.Cur = 0
		if err := unix.Prlimit(cmd.Process.Pid, resource, &limit, nil); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Process.Signal(syscall.SIGCONT)
	kill(t, child)
	wantExit(t, 128+9, cmd)
	wantEmpty(t, name)
}
