package parser

import (
	"os"
	"reflect"
	"testing"

	"github.com/poolrun/poolrun/internal/cli"
	"pgregory.net/rapid"
)

// Whatever the quick parser accepts, kong accepts too, and finds the same in it.
func TestBothParsersAgree(t *testing.T) {
	words := rapid.OneOf(
		rapid.SampledFrom([]string{
			"run", "init", "list", "--", "-", "true", "echo", "/db", "db", "a/b", "5s", "2.5", "0", "1", "3", "007", "0x10", "75", "255", "-5", "50%", "",
			"-p", "-pdb", "-p/db", "-p=db", "--pool", "--pool=db", "--pool=", "-w", "-w5", "--timeout=1m30s", "--timeout", "-n", "-nq", "-n=false", "--nonblock",
			"--nonblock=false", "--no-nonblock", "-E", "-E9", "--busy-exit-code=3", "-s", "--size=4", "-k2", "--weight", "--weight=3", "--priority", "--priority=-5", "--priority=5",
			"-o", "--close", "-v", "-q", "--quiet", "--verbose", "-h", "--help", "--command", "--command=x", "-x", "--unknown",
		}),
		rapid.String(),
	)
	values := rapid.SampledFrom([]string{"", "db", "5s", "3", "x y", "-1", "999"})
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		for _, name := range []string{"POOLRUN_POOL", "POOLRUN_TIMEOUT", "POOLRUN_SIZE", "POOLRUN_BUSY_EXIT_CODE"} {
			os.Unsetenv(name)
			if rapid.IntRange(0, 9).Draw(t, "sets "+name) == 0 {
				os.Setenv(name, values.Draw(t, name))
			}
			defer os.Unsetenv(name)
		}
		args := rapid.SliceOfN(words, 0, 6).Draw(t, "arguments")
		if rapid.Bool().Draw(t, "with a pool") {
			args = append([]string{"--pool", "db"}, args...)
		}
		if rapid.Bool().Draw(t, "with a command") {
			args = append(args, "true")
		}
		var quick, slow cli.CommandLine
		if !cli.ParseQuickly(args, &quick.Run) {
			return
		}
		accepted++
		chosen, err := parse(args, &slow, func(int) { t.Fatalf("%q: kong shows help", args) })
		if err != nil {
			t.Fatalf("%q: accepted, but %v", args, err)
		}
		if chosen.Command() != "run <command>" || !reflect.DeepEqual(quick.Run, slow.Run) {
			t.Fatalf("%q:\n%+v, but kong finds %s:\n%+v", args, quick.Run, chosen.Command(), slow.Run)
		}
	})
	if accepted == 0 {
		t.Error("the quick parser accepts nothing")
	}
}

// The runs of every day are parsed quickly.
func TestOrdinaryRunsAreParsedQuickly(t *testing.T) {
	for _, args := range [][]string{
		{"--pool", "/db", "--timeout", "5s", "--", "pg_dump", "main"},
		{"run", "-p", "db", "-n", "-E", "3", "true"},
		{"--pool=/db", "--size=50%", "--weight=2", "-v", "sh", "-c", "exit 3"},
	} {
		var commands cli.CommandLine
		if !cli.ParseQuickly(args, &commands.Run) {
			t.Errorf("%q is left to kong", args)
		}
	}
}
