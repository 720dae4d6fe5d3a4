package tests

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts in testdata/script are the contract, command by command. Each has
// pools of its own, whose names begin with $POOL.
func TestScripts(t *testing.T) {
	examples, err := filepath.Abs("../examples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			name := "t" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(poolNames.Add(1), 10)
			env.Setenv("POOL", name)
			env.Setenv("EXAMPLES", examples)
			env.Setenv("PATH", env.WorkDir+"/bin:"+env.Getenv("PATH"))
			env.Defer(func() { removePools("/" + name) })
			return nil
		},
	})
}
