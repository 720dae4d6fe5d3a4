package cli

import (
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"pgregory.net/rapid"
)

// quickly is parseQuickly with the environment of this process.
func quickly(args []string, c *runCommand) bool {
	from := readEnvironment()
	return parseQuickly(args, &from, c)
}

// The table of the quick parser says the same as the struct tags.
func TestTheQuickFlagsAreThoseOfRun(t *testing.T) {
	var commands commandLine
	parser, err := kong.New(&commands)
	if err != nil {
		t.Fatal(err)
	}
	for i, command := range parser.Model.Children {
		if command.Name != commandNames[i] {
			t.Errorf("command %d is %s, not %s", i, command.Name, commandNames[i])
		}
	}
	found := 0
	for _, flag := range parser.Model.Children[0].Flags {
		want := quickFlags[0]
		want.long, want.short, want.isSwitch, want.variable = flag.Name, "", flag.IsBool(), ""
		if flag.Short != 0 {
			want.short = string(flag.Short)
		}
		if len(flag.Envs) > 0 {
			want.variable = flag.Envs[0]
		}
		i := findQuickFlag(flag.Name, true)
		switch {
		case i < 0 && want.variable != "":
			t.Errorf("the table lacks %s, which has a variable", flag.Name)
		case i >= 0 && quickFlags[i] != want:
			t.Errorf("flag %d is %+v, not %+v", i, want, quickFlags[i])
		case i >= 0:
			found++
		}
	}
	if found != len(quickFlags) {
		t.Errorf("%d flags, not %d", found, len(quickFlags))
	}
}

// kong accepts all arguments that the quick parser accepts, with the same result.
func TestBothParsersAgree(t *testing.T) {
	words := rapid.OneOf(
		rapid.SampledFrom([]string{
			"run", "init", "list", "--", "-", "true", "echo", "/db", "db", "a/b", "5s", "2.5", "0", "1", "3", "007", "0x10", "75", "255", "-5", "50%", "",
			"-p", "-pdb", "-p/db", "-p=db", "--pool", "--pool=db", "--pool=", "-w", "-w5", "--timeout=1m30s", "--timeout", "-n", "-nq", "-n=false", "--nonblock",
			"--nonblock=false", "--no-nonblock", "-E", "-E9", "--busy-exit-code=3", "-s", "--size=4", "-k2", "-kall", "--weight", "--weight=3", "--max-waiting", "--max-waiting=2", "--memfree=1G", "--load=4", "--max-runtime=5", "--log=x", "--wait-tree", "1d", "infinity", "all", "--priority", "--priority=-5", "--priority=5",
			"-o", "--close", "-v", "-q", "--quiet", "--verbose", "-h", "--help", "--command", "--command=x", "-x", "--unknown",
		}),
		rapid.String(),
	)
	values := rapid.SampledFrom([]string{"", "db", "5s", "3", "x y", "-1", "999"})
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		for _, name := range []string{"POOLRUN_POOL", "POOLRUN_TIMEOUT", "POOLRUN_SIZE", "POOLRUN_BUSY_EXIT_CODE", "POOLRUN_MAX_RUNTIME", "POOLRUN_LOG"} {
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
		var quick, slow commandLine
		if !quickly(args, &quick.Run) {
			return
		}
		accepted++
		selected, err := parse(args, &slow)
		if err != nil {
			t.Fatalf("%q: accepted, but %v", args, err)
		}
		if selected != command(&slow.Run) || !reflect.DeepEqual(quick.Run, slow.Run) {
			t.Fatalf("%q:\n%+v, but kong finds %T:\n%+v", args, quick.Run, selected, slow.Run)
		}
	})
	if accepted == 0 {
		t.Error("the quick parser accepts nothing")
	}
}

// An ordinary run does not need kong's model.
func TestOrdinaryRunsAreParsedQuickly(t *testing.T) {
	for _, args := range [][]string{
		{"--pool", "/db", "--timeout", "5s", "--", "pg_dump", "main"},
		{"run", "-p", "db", "-n", "-E", "3", "true"},
		{"--pool=/db", "--size=50%", "--weight=2", "-v", "sh", "-c", "exit 3"},
	} {
		var commands commandLine
		if !quickly(args, &commands.Run) {
			t.Errorf("%q is left to kong", args)
		}
	}
	t.Setenv("POOLRUN_POOL", "/db")
	for _, name := range commandNames {
		if name != "run" && quickly([]string{name}, new(runCommand)) {
			t.Errorf("%s is taken for a command to run", name)
		}
	}
}

// Both parsers ignore an empty variable, and a variable whose flag is given.
func TestAFlagWinsOverItsVariable(t *testing.T) {
	for _, test := range []struct {
		name, value string
		args        []string
		quick, ok   bool
	}{
		{"POOLRUN_POOL", "", []string{"-p", "/db", "true"}, true, true},
		{"POOLRUN_POOL", "a/b", []string{"-p", "/db", "true"}, true, true},
		{"POOLRUN_TIMEOUT", "never", []string{"-p", "/db", "-w", "5", "true"}, true, true},
		{"POOLRUN_TIMEOUT", "", []string{"-p", "/db", "true"}, true, true},
		{"POOLRUN_SIZE", "", []string{"-p", "/db", "true"}, true, true},
		{"POOLRUN_BUSY_EXIT_CODE", "", []string{"-p", "/db", "true"}, true, true},
		{"POOLRUN_BUSY_EXIT_CODE", "255", []string{"-p", "/db", "--busy-exit-code=3", "true"}, true, true},
		{"POOLRUN_SIZE", "none", []string{"init", "/db", "--size", "2"}, false, true},
		{"POOLRUN_TIMEOUT", "never", []string{"destroy", "/db"}, false, true},
		{"POOLRUN_TIMEOUT", "never", []string{"-p", "/db", "true"}, false, false},
		{"POOLRUN_POOL", "", []string{"-w", "5", "true"}, false, false},
	} {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			t.Setenv(test.name, test.value)
			var quick, slow commandLine
			if got := quickly(test.args, &quick.Run); got != test.quick {
				t.Errorf("%q: parsed quickly: %v", test.args, got)
			}
			_, err := parse(test.args, &slow)
			if (err == nil) != test.ok {
				t.Errorf("%q: %v", test.args, err)
			}
			if err != nil && test.value != "" && !strings.Contains(err.Error(), test.name) {
				t.Errorf("the variable is not named: %v", err)
			}
			if test.quick && !reflect.DeepEqual(quick.Run, slow.Run) {
				t.Errorf("%q:\n%+v, but kong finds\n%+v", test.args, quick.Run, slow.Run)
			}
		})
	}
}

func TestAVariableIsShownInTheHelp(t *testing.T) {
	var commands commandLine
	environment := variables{}
	parser, err := kong.New(&commands)
	if err != nil {
		t.Fatal(err)
	}
	environment.takeFrom(parser.Model)
	shown := 0
	for _, command := range parser.Model.Children {
		for _, flag := range command.Flags {
			if name := environment[flag.Value]; name != "" && strings.Contains(flag.Help, "($"+name+")") {
				shown++
			}
		}
	}
	if shown == 0 || shown != len(environment) {
		t.Errorf("%d of %d", shown, len(environment))
	}
}

// Without a pool, a first word that is not the name of a command is a typing error.
func TestATypoNamesTheNearestCommand(t *testing.T) {
	for word, near := range map[string]string{
		"statsu": "status", "stauts": "status", "sttus": "status", "stat": "status", "statusx": "status",
		"int": "init", "innit": "init", "destory": "destroy", "lst": "list", "lits": "list", "reszie": "resize", "barier": "barrier",
		"verison": "version", "ru": "run", "repiar": "repair",
		"true": "", "sleep": "", "ls": "", "x": "", "sh": "", "pg_dump": "", "/bin/true": "", "": "", "\xff\xfe": "",
	} {
		if got := nearest(word, commandNames[:]); got != near {
			t.Errorf("%q: %q instead of %q", word, got, near)
		}
		var commands commandLine
		_, err := parse([]string{word, "/db", "--size", "2"}, &commands)
		if err == nil || !strings.Contains(err.Error(), "is not a command of poolrun") || near != "" && !strings.Contains(err.Error(), strconv.Quote(near)) {
			t.Errorf("%q: %v", word, err)
		}
		t.Setenv("POOLRUN_POOL", "/db")
		if _, err := parse([]string{word, "x"}, &commands); err != nil {
			t.Errorf("%q in a pool: %v", word, err)
		}
		t.Setenv("POOLRUN_POOL", "")
	}
}

func TestParseReturnsTheSelectedCommand(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func(before *os.File) { os.Stdout = before }(os.Stdout)
	os.Stdout = null // the help goes there
	for _, test := range []struct {
		args []string
		want command // only its type counts; nil: an error
	}{
		{[]string{"version"}, &versionCommand{}},
		{[]string{"resize", "/db", "3"}, &resizeCommand{}},
		{[]string{"-p", "/db", "version"}, &runCommand{}},
		{[]string{"--help"}, helpCommand{}},
		{[]string{"-h"}, helpCommand{}},
		{[]string{"init", "--help"}, helpCommand{}},
		{[]string{"-p", "/db", "--help"}, helpCommand{}},
		{[]string{"resize", "/db"}, nil},
		{[]string{"list", "x"}, nil},
		{[]string{}, nil},
	} {
		got, err := parse(test.args, new(commandLine))
		if reflect.TypeOf(got) != reflect.TypeOf(test.want) || (err == nil) != (test.want != nil) {
			t.Errorf("%q: %T, %v", test.args, got, err)
		}
	}
}
