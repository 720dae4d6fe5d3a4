package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// commandsOfHelp lists the commands that poolrun --help lists.
func commandsOfHelp(t testing.TB) (names []string) {
	t.Helper()
	_, list, _ := strings.Cut(mustRun(t, "--help"), "\nCommands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for _, match := range regexp.MustCompile(`(?m)^  (\w+) `).FindAllStringSubmatch(list, -1) {
		names = append(names, match[1])
	}
	if len(names) < 2 {
		t.Fatalf("commands %q", names)
	}
	return names
}

// The examples of --help run, line by line, on pools as they expect them.
func TestTheExamplesOfTheHelpWork(t *testing.T) {
	onlyOnce(t)
	const pool = "poolrun init /db --size 4\n"
	before := map[string]string{ // pool is what the others need
		"run":        "",
		"init":       "",
		"evict":      pool + "trap '' HUP; poolrun -p /db sleep 1000 & poolrun -p /db sleep 1000 & await-pool /db 2 0\n",
		"acquire":    pool + "exec 9<$(poolrun path /db)\n",
		"release":    pool + "exec 9<$(poolrun path /db); poolrun acquire --fd 9\n",
		"barrier":    "poolrun barrier /ready --parties 3 & poolrun barrier /ready --parties 3 &\n",
		"completion": "mkdir -p ~/.config/fish/completions\n",
	}
	for _, name := range commandsOfHelp(t) {
		_, examples, found := strings.Cut(mustRun(t, name, "--help"), "\nExamples:\n")
		if !found {
			t.Errorf("%s --help has no examples", name)
		}
		if name != "run" && !strings.Contains(examples, "poolrun "+name) {
			t.Errorf("%s --help has examples of other commands only", name)
		}
		setUp, known := before[name]
		if !known {
			setUp = pool
		}
		for line := range strings.Lines(examples) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") {
				continue
			}
			t.Run(line, func(t *testing.T) {
				if _, err := exec.LookPath("jq"); err != nil && strings.Contains(line, "jq ") {
					t.Skip(err)
				}
				outputs(t, documented(t, "set -e\n"+setUp+line))
			})
		}
	}
}

// exampleName matches the pools and barriers of the examples.
var exampleName = regexp.MustCompile(`(^|[ "])/(db|demo|gpu|ready|report|slow)\b`)

// exampleCommands are the commands of the examples that are not to be run.
var exampleCommands = []string{"pg_dump", "report", "systemctl"}

// documented prepares commands of a document for bash, in pools of its own. Processes that it leaves are killed.
func documented(t testing.TB, script string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	for _, name := range exampleCommands {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script = exampleName.ReplaceAllString(script, "${1}"+freeName(t)+"-${2}")
	cmd := command(t, "bash", "-c", "trap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n"+script)
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "HOME="+dir, fmt.Sprintf("PATH=%s:%s", dir, os.Getenv("PATH")))
	return cmd
}
