// Package tests drives poolrun and poolrun-etcd from outside, on real etcd servers. What the commands that
// poolrun runs see and do shows whether the limit was kept. No test asks poolrun for that.
package tests

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
)

// binaries are the programs under test, built once, as the Makefile builds them.
var binaries struct{ poolrun, agent, dir string }

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

// runAll builds the binaries, runs the tests, and checks that they leave nothing behind.
func runAll(m *testing.M) (code int) {
	flag.Set("test.parallel", "8") // unless an argument says otherwise: most tests wait for most of their time
	dir, err := os.MkdirTemp("", "poolrun-cluster-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer os.RemoveAll(dir)
	if err := prepare(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	code = m.Run()
	if err := errors.Join(endProcesses(), closeShared(), checkTemporary()); err != nil {
		fmt.Fprintf(os.Stderr, "the tests have left behind:\n%v\n", err)
		code = max(code, 1)
	}
	return code
}

// prepare builds the binaries, and makes an environment that says nothing to poolrun.
func prepare(dir string) error {
	binaries.dir = dir
	binaries.poolrun, binaries.agent = filepath.Join(dir, "poolrun"), filepath.Join(dir, "poolrun-etcd")
	for _, args := range [][]string{
		{"-C", "../..", "build", "-ldflags", "-E poolrun_entry", "-o", binaries.poolrun, "."},
		{"-C", "..", "build", "-o", binaries.agent, "."},
	} {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %v\n%s", cmd, err, out)
		}
	}
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "POOLRUN_") && !strings.HasPrefix(name, "POOLRUN_TEST_") || strings.HasPrefix(name, "ETCDCTL_") {
			os.Unsetenv(name)
		}
	}
	os.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	os.Setenv("TMPDIR", temporary())
	return os.Mkdir(temporary(), 0o700)
}

// temporary is the directory for all that is temporary.
func temporary() string { return filepath.Join(binaries.dir, "tmp") }

func checkTemporary() error {
	left, err := filepath.Glob(temporary() + "/*")
	if len(left) > 0 {
		err = fmt.Errorf("files %q", left)
	}
	return err
}

// endProcesses waits until no process runs a binary under test any more. Those that do not end are killed,
// and are an error.
func endProcesses() error {
	left := agentsAndRuns()
	for end := time.Now().Add(20 * time.Second); len(left) > 0 && time.Now().Before(end); left = agentsAndRuns() {
		time.Sleep(20 * time.Millisecond)
	}
	var errs []error
	for _, pid := range left {
		errs = append(errs, fmt.Errorf("process %d: %q", pid, commandLine(pid)))
		syscall.Kill(pid, syscall.SIGKILL)
	}
	return errors.Join(errs...)
}

// The etcd that most tests share, since it takes a while to start one. It has one member. Tests that do harm
// to their etcd start another: see etcdtest.New.
var sharedCluster struct {
	once sync.Once
	*etcdtest.Cluster
	err error
}

func shared(t testing.TB) *etcdtest.Cluster {
	t.Helper()
	sharedCluster.once.Do(func() { sharedCluster.Cluster, sharedCluster.err = etcdtest.Start(etcdtest.Config{}) })
	if sharedCluster.err != nil {
		t.Fatal(sharedCluster.err)
	}
	return sharedCluster.Cluster
}

// closeShared ends the shared etcd. Keys that are left in it are an error.
func closeShared() (err error) {
	c := sharedCluster.Cluster
	if c == nil {
		return nil
	}
	var left []string
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if left, err = keysIn(c, "/"); err != nil || len(left) == 0 || time.Now().After(end) {
			break
		}
	}
	if len(left) > 0 {
		err = fmt.Errorf("keys %q", left)
	}
	return errors.Join(err, c.Close())
}
