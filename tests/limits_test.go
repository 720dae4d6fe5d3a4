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

// Under a limit that the Go runtime could not live with, poolrun runs its command, which
// has the limit as it was.
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
		var said strings.Builder
		cmd.Stderr = &said
		with, _ := cmd.Output()
		if code := shellCode(cmd); code != 7 || string(with) != string(bare) || said.Len() > 0 {
			t.Errorf("ulimit %s: exit code %d, %s\n%s", limit, code, said.String(), difference(string(with), string(bare)))
		}
	}
	wantEmpty(t, name)
}

// A limit that nobody could live with is told in one line, before a slot is taken.
func TestTooSmallLimitsAreToldInOneLine(t *testing.T) {
	name := freeName(t)
	wantSaid(t, asNobody(t, poolrun(t, "init", name, "--size", "1")), 0, "")
	for limit, text := range map[string]string{
		"-v 20000": "poolrun: cannot run with an address space of 20000 kB (ulimit -v): 65536 are needed\n",
		"-d 5000":  "poolrun: cannot run with a data segment of 5000 kB (ulimit -d): 16384 are needed\n",
		"-n 7":     "poolrun: cannot run with 7 open files (ulimit -n): 16 are needed\n",
	} {
		cmd := asNobody(t, command(t, "sh", "-c", "ulimit "+limit+"; exec poolrun --pool "+name+" -- true"))
		out, _ := cmd.CombinedOutput()
		if code := shellCode(cmd); code != 2 || string(out) != text {
			t.Errorf("ulimit %s: exit code %d\n%s", limit, code, out)
		}
	}
	if s := statusOf(t, name); s.Counters.Acquired != 0 {
		t.Errorf("a slot was taken: %+v", s)
	}
}

// At the limit of processes the runtime cannot start a thread. It says no more of it than
// one line.
func TestTheLimitOfProcessesIsToldInOneLine(t *testing.T) {
	name := freeName(t)
	user := &syscall.Credential{Uid: 61234, Gid: nobody} // who has no other process
	as := func(cmd *exec.Cmd) *exec.Cmd {
		cmd = asNobody(t, cmd)
		cmd.SysProcAttr.Credential = user
		return cmd
	}
	wantSaid(t, as(poolrun(t, "init", name, "--size", "1")), 0, "")
	said := map[string]bool{}
	for limit := 1; limit <= 6; limit++ {
		cmd := as(command(t, "prlimit", fmt.Sprintf("--nproc=%d", limit), "poolrun", "--pool", name, "--", "true"))
		out, _ := cmd.CombinedOutput()
		code := shellCode(cmd)
		if lines := strings.Count(string(out), "\n"); !(code == 0 && lines == 0 || code == 2 && lines == 1 && strings.HasPrefix(string(out), "poolrun: cannot start a")) {
			t.Errorf("%d processes: exit code %d\n%s", limit, code, out)
		}
		said[string(out)] = true
	}
	if len(said) < 2 {
		t.Errorf("no limit did any harm: %v", said)
	}
	wantEmpty(t, name)
}

// What is meant for Go programs is not for poolrun, in no spelling.
func TestVariablesForGoProgramsChangeNothing(t *testing.T) {
	name := newPool(t, 1)
	for _, variable := range []string{
		"GOMEMLIMIT=512Mi", "GODEBUG=inittrace=1,schedtrace=1", "GOTRACEBACK=crash", "GOGC=0", "GOMAXPROCS=0", "GOMAXPROCS=64",
		"ZONEINFO=/nowhere", "GOCOVERDIR=/nowhere", "GODEBUG=clobberfree=1,dontfreezetheworld=1", "GOFIPS140=x", "GODEBUG=fips140=only",
	} {
		for _, args := range [][]string{{"--pool", name, "--", "sh", "-c", "echo ok ${" + strings.SplitN(variable, "=", 2)[0] + "}"}, {"version"}} {
			cmd := poolrun(t, args...)
			cmd.Env = append(cmd.Env, variable)
			var said strings.Builder
			cmd.Stderr = &said
			out, err := cmd.Output()
			if err != nil || said.Len() > 0 || args[0] != "version" && string(out) != "ok "+strings.SplitN(variable, "=", 2)[1]+"\n" {
				t.Errorf("%s %q: %v %q %q", variable, args, err, out, said.String())
			}
		}
	}
}

// Once the command runs, poolrun needs no more memory, nor another thread.
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
		check(unix.Prlimit(cmd.Process.Pid, resource, nil, &limit))
		limit.Cur = 0
		check(unix.Prlimit(cmd.Process.Pid, resource, &limit, nil))
	}
	cmd.Process.Signal(syscall.SIGCONT)
	kill(t, child)
	cmd.Wait()
	if code := shellCode(cmd); code != 128+9 {
		t.Errorf("exit code %d", code)
	}
	wantEmpty(t, name)
}
