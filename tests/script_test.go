package tests

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts in testdata/script are the contract, command by command. Each has
// pools of its own, whose names begin with $POOL.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Deadline:            time.Now().Add(2 * time.Minute), // for a script that hangs
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup: func(env *testscript.Env) error {
			name := freeName(env.T().(testing.TB))
			env.Setenv("POOL", name[1:])
			env.Setenv("PATH", filepath.Join(env.WorkDir, "bin")+":"+env.Getenv("PATH"))
			return nil
		},
	})
}

// exits CODE COMMAND [ARG...]: runs the command, which must exit with this code. For
// a death by signal, the code is the one that a shell shows.
func exits(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG...]")
	}
	got := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = shellCode(exit.ProcessState)
	} else {
		ts.Check(err)
	}
	if got := strconv.Itoa(got); got != args[0] {
		ts.Fatalf("exit code %s instead of %s", got, args[0])
	}
}
