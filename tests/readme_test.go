package tests

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// featureRow matches a row of the README's table of features. No command has a pipe, which would end
// the cell.
var featureRow = regexp.MustCompile("(?m)^\\| .* \\| `(.*)` \\|$")

// Each command in the README's table of features can be pasted, and shows what the table says.
func TestTheFeaturesOfTheREADMEWork(t *testing.T) {
	onlyOnce(t)
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "\n## Features\n")
	table, _, _ = strings.Cut(table, "\n## ")
	// What is printed, as a regular expression, by a part of the command. Two groups have to be the same.
	shows := map[string]string{
		"--max-runtime":     `^124\n$`,
		"--timeout 1d12h":   `^started\n$`,
		"--die-with-parent": `^137\n.* 0 of 2 slots in use`,
		"--no-fork":         `(?m)^[01] +running +(\d+) +(\d+) .* poolrun status `,
		"--max-waiting":     `^started\n$`,
		"--memfree":         `^started\n$`,
		"--jobserver":       `^GNU Make `,
		"--weight all":      `^0,1\n$`,
		"--log":             `^\{.*"exit_code":0,.*\}\n$`,
		"--delay":           `^.+\n.+\n.+\n$`,
		"acquire":           `(?m)^[01] +descriptor `,
		"--watch":           ` of 2 slots in use`,
		"--format json":     `^\{"name":"/.*"size":2,`,
		"--format prom":     `(?m)^poolrun_slots\{pool="/.*"\} 2$`,
		"man ":              `POOLRUN\(1\)`,
		"ls examples":       `xargs`,
	}
	commands := allMatches(featureRow, table)
	for _, command := range commands {
		if strings.HasPrefix(command, "make ") {
			continue // it takes long, and writes to the working tree
		}
		t.Run(command, func(t *testing.T) {
			if name, _, _ := strings.Cut(command, " "); name == "man" {
				if _, err := exec.LookPath("man"); err != nil {
					t.Skip(err)
				}
			}
			script := command
			switch {
			case strings.Contains(script, "--watch"): // a broken pipe ends it
				script += " | head -n 1"
			case strings.Contains(script, "evict"):
				script = strings.Replace(script, "sleep 1;", "await-pool /demo 1 0;", 1)
			case strings.Contains(script, "--die-with-parent"): // what happened, which nothing prints
				script += "; echo $?; poolrun wait /demo; poolrun status /demo"
			}
			cmd := documented(t, "poolrun init /demo --size 2\n"+script)
			cmd.Dir = ".."
			out, _ := outputs(t, cmd)
			for part, want := range shows {
				if !strings.Contains(command, part) {
					continue
				}
				match := regexp.MustCompile(want).FindStringSubmatch(out)
				if match == nil || len(match) == 3 && match[1] != match[2] {
					t.Errorf("no match of %q:\n%s", want, out)
				}
			}
		})
	}
	for part := range shows {
		if !strings.Contains(strings.Join(commands, "\n"), part) {
			t.Errorf("no command with %q", part)
		}
	}
}
