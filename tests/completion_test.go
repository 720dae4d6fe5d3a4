package tests

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	onlyOnce(t)
	pools := freeName(t) + "-" // the beginning of their names
	mustRun(t, "init", pools+"one", "--size", "3")
	mustRun(t, "init", pools+"two", "--size", "3")
	startHolder(t, pools+"one", "-k", "2")
	startHolder(t, pools+"two")
	for i, name := range oddNames {
		mustRun(t, "init", fmt.Sprint(pools, i, name), "--size", "1")
	}
	for _, shell := range completers {
		t.Run(shell.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			t.Setenv("PATH", os.Getenv("PATH")+":"+dir+"/bin")
			if err := os.Mkdir("bin", 0o755); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{"bin/wrapped", "bin/repairs", "coffee", "--color"} {
				if err := os.WriteFile(file, nil, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			complete := shell.start(t)
			t.Run("offers what fits", func(t *testing.T) { offersWhatFits(t, complete, pools) })
			if os.Getenv("POOLRUN_POOL") == "" { // once for each way to install a script
				t.Run("knows all flags", func(t *testing.T) { knowsAllFlags(t, complete) })
			}
			t.Run("quotes names", func(t *testing.T) { quotesNames(t, complete, pools) })
		})
	}
}

func offersWhatFits(t *testing.T, complete completer, pools string) {
	for _, test := range []struct{ line, want string }{
		{"", "run init destroy status list resize wait evict acquire release path repair barrier completion version"},
		{"st", "status"},
		{"--po", "--pool"},
		{"run --po", "--pool"},
		{"status --form", "--format"},
		{"status --format ", "text json prometheus"},
		{"status --format=js", "--format=json"},
		{"completion ", "bash zsh fish"},
		{"completion bash /x", "/x"},
		{"list /x", "/x"},
		{"init --group roo", "root"},
		{"evict --signal HU", "HUP"},
		{"evict /xone --slot ", "0 1"},
		{"evict /xtwo --slot=", "--slot=0"},
		{"evict --slot ", ""},
		{"--log co", "coffee"},
		{"--log=co", "--log=coffee"},

		{"--pool /x", "/xone /xtwo"},
		{"--pool=/xo", "--pool=/xone"},
		{"-p /x", "/xone /xtwo"},
		{"-p/xo", "-p/xone"},
		{"-np /x", "/xone /xtwo"},
		{"-w 5 -n --timeout=5 -k2 --pool /x", "/xone /xtwo"},
		{"destroy /x", "/xone /xtwo"},
		{"status /x", "/xone /xtwo"},
		{"status --format json --watch -- /x", "/xone /xtwo"},
		{"resize /x", "/xone /xtwo"},
		{"resize /xone /x", "/x"},
		{"wait /x", "/xone /xtwo"},
		{"wait -w 5 /x", "/xone /xtwo"},
		{"wait -w /x", "/x"},
		{"evict /x", "/xone /xtwo"},
		{"repair /x", "/xone /xtwo"},
		{"path /x", "/xone /xtwo"},
		{"init /x", "/x"},
		{"barrier /x", "/x"},

		{"-p /xone bin/wra", "bin/wrapped"},
		{"-p /xone -- ./bin/wra", "./bin/wrapped"},
		{"-p /xone wrapp", "wrapped"},
		{"-p /xone -- repair", "repairs"},
		{"-p /xone -- wrapped --co", "--color"},
		{"-p /xone wrapped --co", "--color"},
		{"run --pool=/xone -- wrapped --co", "--color"},
		{"run -np/xone wrapped --co", "--color"},
		{"-w run wrapped --co", "--color"},
		{"-- wrapped --co", "--color"},
		{"-p /xone wrapped --die", "--die"},
		{"-p /xone wrapped run --pool", "--pool"},
	} {
		line := "poolrun " + strings.ReplaceAll(test.line, "/x", pools)
		want := strings.Fields(strings.ReplaceAll(test.want, "/x", pools))
		last := strings.LastIndex(line, " ") + 1
		got := complete(t, line[:last], line[last:])
		got = slices.DeleteFunc(got, func(name string) bool { // the pools with odd names
			odd, found := strings.CutPrefix(name, pools)
			return found && odd != "" && odd[0] <= '9'
		})
		wantOffered(t, line, got, want)
	}

	// With POOLRUN_POOL, the first word can be the command to run.
	want := "wrapp"
	if os.Getenv("POOLRUN_POOL") != "" {
		want = "wrapped"
	}
	wantOffered(t, "the first word", complete(t, "poolrun ", "wrapp"), []string{want})
	wantOffered(t, "the first word", complete(t, "poolrun ", "repai"), []string{"repair"})

	// The slash of a name may be omitted. fish adds it.
	if got := complete(t, "poolrun -p ", pools[1:]+"o"); strings.TrimPrefix(got[0], "/") != pools[1:]+"one" {
		t.Errorf("without the slash: %q", got)
	}

	// bash alone does not complete the flags of the command to run.
	if name := t.Name(); !strings.Contains(name, "/bash") || strings.Contains(name, "/bash-completion") {
		before := "poolrun -p " + pools + "one -- poolrun "
		wantOffered(t, before, complete(t, before, "--pool="+pools+"o"), []string{"--pool=" + pools + "one"})
		before += "evict " + pools + "two "
		wantOffered(t, before, complete(t, before, "--slot="), []string{"--slot=0"})
	}
}

func knowsAllFlags(t *testing.T, complete completer) {
	find := func(expression string, args ...string) (found []string) {
		for _, match := range regexp.MustCompile(expression).FindAllStringSubmatch(mustRun(t, args...), -1) {
			found = append(found, match[1])
		}
		return found
	}
	commands := find(`(?m)^  ([a-z]+) `, "--help")
	wantOffered(t, "the commands", complete(t, "poolrun ", ""), commands)
	for _, command := range commands {
		line := "poolrun " + command + " "
		long := complete(t, line, "--")
		for i := range long {
			long[i] = strings.TrimSuffix(long[i], "=")
		}
		wantOffered(t, line+"--", long, find(`(?m)^  .{4}(--[a-z-]+)`, command, "--help"))
		all := complete(t, line, "-")
		for _, short := range find(`(?m)^  (-\w), `, command, "--help") {
			if !slices.Contains(all, short) {
				t.Errorf("%s-: %q without %s", line, all, short)
			}
		}
	}
}

// oddNames are ends of the names of pools.
var oddNames = []string{
	"a b", "a  1 2", "a:b::c=d@e", "$(touch evaluated)`touch evaluated`;touch evaluated&touch evaluated", "!!a*?[b]{c,d}~#<>()|%^ß~", `$HOME'"\b\ c'`,
}

// quotesNames checks that the name of a pool becomes one word, and that it is not evaluated.
func quotesNames(t *testing.T, complete completer, pools string) {
	for i, name := range oddNames {
		name, typed := fmt.Sprint(pools, i, name), fmt.Sprint(pools, i)
		wantOffered(t, typed, complete(t, "poolrun status ", typed), []string{name})
		wantOffered(t, typed, complete(t, "poolrun ", "--pool="+typed), []string{"--pool=" + name})
		if !strings.Contains(name, "'") {
			wantOffered(t, typed, complete(t, "poolrun --pool ", "'"+typed), []string{name})
		}
		if !strings.ContainsAny(name, "\"\\`$!") {
			wantOffered(t, typed, complete(t, "poolrun --pool ", `"`+typed), []string{name})
		}
	}
	// bash and readline split words at these characters.
	for _, typed := range []string{"2", "2a:", "2a:b", "2a:b::", "2a:b::c", "2a:b::c=", "2a:b::c=d", "2a:b::c=d@", "2a:b::c=d@e"} {
		wantOffered(t, typed, complete(t, "poolrun status ", pools+typed), []string{pools + "2" + oddNames[2]})
	}
	// A name that is already on the line is not evaluated either.
	const odd = "'$(>evaluated)]' "
	wantOffered(t, odd, complete(t, "poolrun evict "+odd+"--slot ", ""), nil)
	wantOffered(t, odd, complete(t, "poolrun -p "+odd, "--nonb"), []string{"--nonblock"})
	wantOffered(t, odd, complete(t, "poolrun -p "+odd+"wrapped ", "--co"), []string{"--color"})
	wantOffered(t, odd, complete(t, "poolrun "+odd, "--co"), []string{"--color"})
	if _, err := os.Stat("evaluated"); err == nil {
		t.Error("the name of a pool was evaluated")
	}
}

func wantOffered(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q instead of %q", what, got, want)
	}
}
