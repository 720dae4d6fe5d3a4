// Package tests drives the real binary from outside. Nothing here asks poolrun
// whether a limit was kept: that is counted by the commands that it runs.
package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The binaries under test, built once, as the Makefile builds them; and a plain one, without
// the entry point of its own.
var binaries struct{ poolrun, crashing, plain, dir string }

// TestMain also serves as the programs that the tests run as commands: see
// programs_test.go.
func TestMain(m *testing.M) {
	testscript.Main(suite{m}, programs)
}

// suite is all tests, with what they need around them.
type suite struct{ *testing.M }

func (s suite) Run() int {
	cleanUp, err := build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer cleanUp()
	os.Setenv("PATH", binaries.dir+":"+os.Getenv("PATH"))
	// The race detector holds up the end of a program for a second, for reports
	// that may still come. The programs of these tests are short.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "POOLRUN_") {
			os.Unsetenv(name)
		}
	}
	return s.M.Run()
}

func build() (cleanUp func(), err error) {
	dir, err := os.MkdirTemp("", "poolrun-test-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // some tests run as another user
		return nil, err
	}
	binaries.dir = dir
	binaries.poolrun = filepath.Join(dir, "poolrun")
	binaries.crashing = filepath.Join(dir, "poolrun-crashing")
	binaries.plain = filepath.Join(dir, "poolrun-plain")
	for _, args := range [][]string{
		{"-o", binaries.plain, ".."},
		{"-ldflags", "-E poolrun_entry", "-o", binaries.poolrun, ".."},
		{"-ldflags", "-E poolrun_entry", "-o", binaries.crashing, "-tags", "crashpoints", ".."},
		{"-o", dir + "/", "../examples/pool_server", "../examples/pool_client"},
	} {
		cmd := exec.Command("go", append([]string{"build"}, args...)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			os.RemoveAll(dir)
			return nil, fmt.Errorf("%v: %v\n%s", cmd, err, out)
		}
	}
	return func() { os.RemoveAll(dir) }, nil
}

var poolNames atomic.Int64

// freeName returns a pool's name that nobody uses. Whatever is under it, or under
// a name that begins with it, is removed after the test.
func freeName(t testing.TB) string {
	name := fmt.Sprintf("/t%d-%d", os.Getpid(), poolNames.Add(1))
	t.Cleanup(func() { removePools(name) })
	return name
}

func removePools(prefix string) {
	for _, kind := range []string{"sem.", "poolrun."} {
		files, _ := filepath.Glob("/dev/shm/" + kind + prefix[1:] + "*")
		for _, file := range files {
			os.RemoveAll(file)
		}
	}
}

// newPool makes a pool and returns its name.
func newPool(t testing.TB, size int) string {
	t.Helper()
	name := freeName(t)
	mustRun(t, "init", name, "--size", fmt.Sprint(size))
	return name
}

// poolrun prepares a run of the binary. If the test ends first, the process and
// its command are killed.
func poolrun(t testing.TB, args ...string) *exec.Cmd {
	return command(t, binaries.poolrun, args...)
}

func command(t testing.TB, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Env = os.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	t.Cleanup(func() {
		if cmd.Process != nil && (cmd.ProcessState == nil || t.Failed()) {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			if cmd.ProcessState == nil {
				cmd.Wait()
			}
		}
	})
	return cmd
}

func mustRun(t testing.TB, args ...string) string {
	t.Helper()
	out, err := poolrun(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("poolrun %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func mustStart(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// exitCode runs a command to its end and returns what a shell would show.
func exitCode(t testing.TB, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return shellCode(cmd)
}

func shellCode(cmd *exec.Cmd) int {
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// The parts of the JSON that the tests look at.
type status struct {
	Size      int
	InUse     int `json:"in_use"`
	Available int
	Waiting   int
	Holders   []struct {
		Slots      []int
		PID        int
		CommandPID int `json:"command_pid"`
		State      string
		Command    string
	}
	Waiters []struct {
		Position int
		PID      int
		Command  string
	}
	Counters struct {
		Acquired, Released, Busy, Cancelled, Reclaimed uint64
		TimedOut                                       uint64 `json:"timed_out"`
	}
}

func statusOf(t testing.TB, name string) (s status) {
	t.Helper()
	out, err := poolrun(t, "status", name, "--format", "json").Output()
	if err != nil {
		t.Fatalf("status %s: %v %s", name, err, out)
	}
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// eventually waits for something to be seen. The limit is only for not hanging.
func eventually(t testing.TB, what string, seen func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !seen(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never seen: %s", what)
		}
	}
}

func waitStatus(t testing.TB, name, what string, seen func(status) bool) (s status) {
	t.Helper()
	eventually(t, what, func() bool {
		s = statusOf(t, name)
		return seen(s)
	})
	return s
}

// waitCommand waits for the one holder of a pool to run its command. The command's pid is
// known a moment before the process has become the command.
func waitCommand(t testing.TB, name string) status {
	t.Helper()
	s := waitStatus(t, name, "a command", func(s status) bool { return s.InUse == 1 && s.Holders[0].CommandPID != 0 })
	eventually(t, "execve of the command", func() bool {
		program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", s.Holders[0].CommandPID))
		return err != nil || program != binaries.poolrun
	})
	return s
}

// wantEmpty checks that a pool is as it was when it was made.
func wantEmpty(t testing.TB, name string) {
	t.Helper()
	s := statusOf(t, name)
	n := s.Counters
	if s.InUse != 0 || s.Available != s.Size || s.Waiting != 0 || len(s.Holders) != 0 || n.Acquired != n.Released+n.Reclaimed {
		t.Errorf("pool %s is not empty: %+v", name, s)
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func contains(text, part string) bool { return strings.Contains(text, part) }

func itoa(n int) string { return strconv.Itoa(n) }

func scan(t testing.TB, text string, to ...any) {
	t.Helper()
	if _, err := fmt.Sscan(text, to...); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}

// stateOf is the third field of /proc/PID/stat.
func stateOf(stat string) byte { return stat[strings.LastIndexByte(stat, ')')+2] }
