// Package tests drives the real binary from outside. The commands that poolrun runs count how
// many run at once. No test asks poolrun whether the limit was kept.
package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// binaries are the programs under test, built once, as the Makefile builds them. The indirect one
// lacks the direct path, and the plain one lacks poolrun's own entry point. If the environment has
// WITHOUT_DIRECT_PATH=1, none has the direct path.
var binaries struct{ poolrun, crashing, indirect, plain, dir string }

var hasDirectPath = os.Getenv("WITHOUT_DIRECT_PATH") == ""

// onlyOnce skips a test in the run without the direct path, because what it tests has none.
func onlyOnce(t testing.TB) {
	t.Helper()
	if !hasDirectPath {
		t.Skip("it does not depend on the direct path")
	}
}

// TestMain also runs the programs that the tests use as commands: see programs_test.go.
func TestMain(m *testing.M) {
	testscript.Main(suite{m}, programs)
}

// suite runs all tests, after it has built the binaries.
type suite struct{ *testing.M }

func (s suite) Run() int {
	cleanUp, err := build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer cleanUp()
	os.Setenv("PATH", binaries.dir+":"+os.Getenv("PATH"))
	// Without this, the race detector delays the end of each program by a second.
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
	binaries.indirect = filepath.Join(dir, "poolrun-indirect")
	binaries.plain = filepath.Join(dir, "poolrun-plain")
	tags := ""
	if !hasDirectPath {
		tags = "nodirect"
	}
	for _, args := range [][]string{
		{"-o", binaries.plain, ".."},
		{"-ldflags", "-E poolrun_entry", "-o", binaries.poolrun, "-tags", tags, ".."},
		{"-ldflags", "-E poolrun_entry", "-o", binaries.indirect, "-tags", "nodirect", ".."},
		{"-ldflags", "-E poolrun_entry", "-o", binaries.crashing, "-tags", "crashpoints," + tags, ".."},
		{"-o", dir + "/", "../examples/pool_server", "../examples/pool_client"},
	} {
		if err := goBuild("CGO_ENABLED=0", args...); err != nil {
			os.RemoveAll(dir)
			return nil, err
		}
	}
	return func() { os.RemoveAll(dir) }, nil
}

// goBuild runs go build with a variable, NAME=value.
func goBuild(variable string, args ...string) error {
	cmd := exec.Command("go", append([]string{"build"}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", variable)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %v\n%s", cmd, err, out)
	}
	return nil
}
