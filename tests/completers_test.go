package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The shells in which the completion scripts are tested.

// A completer returns all completions of a word after the words before it on the line, or the word
// itself if there are none.
type completer func(t *testing.T, before, word string) []string

// completers are the shells, with the ways to install a script, and with settings that a script must not
// depend on. In those named "bash", a command has no completion of its own.
var completers = []struct {
	name  string
	start func(t *testing.T) completer
}{
	{"bash", func(t *testing.T) completer {
		return startBash(t, "source <(poolrun completion bash)")
	}},
	{"bash with unusual settings", func(t *testing.T) completer {
		t.Setenv("POOLRUN_POOL", "/none")
		return startBash(t, "source <(poolrun completion bash)", "set -u -o noglob", "IFS=p-", "COMP_WORDBREAKS=${COMP_WORDBREAKS//[=:]/}")
	}},
	{"bash-completion", func(t *testing.T) completer {
		const library = "/usr/share/bash-completion/bash_completion"
		if _, err := os.Stat(library); err != nil {
			t.Skip(err)
		}
		t.Setenv("BASH_COMPLETION_USER_DIR", writeCompletion(t, "bash", "completions/poolrun"))
		return startBash(t, "source "+library, "complete -W '--color --other' wrapped")
	}},
	{"zsh", func(t *testing.T) completer {
		return startZsh(t, compinit, "source <(poolrun completion zsh)")
	}},
	{"zsh with autoload and unusual settings", func(t *testing.T) completer {
		t.Setenv("POOLRUN_POOL", "/none")
		return startZsh(t, "fpath+="+writeCompletion(t, "zsh", "_poolrun"), compinit, "setopt nounset ksharrays shwordsplit noglob", "IFS=p-")
	}},
	{"fish", func(t *testing.T) completer {
		return startFish(t, "--no-config", "-C", "source (poolrun completion fish | psub)")
	}},
	{"fish with a vendor's directory", func(t *testing.T) completer {
		t.Setenv("POOLRUN_POOL", "/none")
		t.Setenv("XDG_DATA_DIRS", writeCompletion(t, "fish", "fish/vendor_completions.d/poolrun.fish"))
		t.Setenv("HOME", t.TempDir())
		return startFish(t)
	}},
}

// writeCompletion writes a completion script to a file below a new directory.
func writeCompletion(t *testing.T, shell, path string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(mustRun(t, "completion", shell)), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func startBash(t *testing.T, commands ...string) completer {
	return startCompleter(t, append(commands, `bind '"\C-t": insert-completions'`), "bash", "--norc", "-i")
}

const compinit = "autoload -Uz compinit; compinit -u -D"

func startZsh(t *testing.T, commands ...string) completer {
	return startCompleter(t, append(commands,
		"compdef '_arguments --color --other' wrapped",
		"zstyle ':completion:*' completer _all_matches _complete",
		"zstyle ':completion:*' insert yes",
		"bindkey '^T' complete-word",
	), "zsh", "-f", "-i")
}

// startCompleter starts an interactive shell, in which Ctrl-T inserts all completions, and poolrun is a
// function that reports its arguments.
func startCompleter(t *testing.T, commands []string, shell ...string) completer {
	t.Helper()
	lookShell(t, shell[0])
	t.Setenv("TERM", "xterm")
	t.Setenv("LC_ALL", "C.UTF-8")
	term := startTerminal(t, shell...)
	enter := func(t *testing.T, text string) (words []string) {
		t.Helper()
		os.Remove("report")
		term.typed(text + "\n")
		eventually(t, fmt.Sprintf("the arguments of %q", text), func() bool {
			report, err := os.ReadFile("report")
			words = strings.Split(strings.TrimSuffix(string(report), "\x00"), "\x00")
			return err == nil
		})
		return words
	}
	enter(t, strings.Join(append(commands, `poolrun() { printf '%s\0' "$@" >report.new; command mv report.new report; }`, "poolrun ready"), "\n"))
	return func(t *testing.T, before, word string) []string {
		t.Helper()
		key := "\x14"
		if strings.HasPrefix(word, "'") || strings.HasPrefix(word, `"`) {
			key = "\t" // the other key of bash removes the quote
		}
		return enter(t, before+word+key)[len(strings.Fields(before))-1:]
	}
}

// startFish starts a shell that reads lines to complete.
func startFish(t *testing.T, flags ...string) completer {
	t.Helper()
	lookShell(t, "fish")
	cmd := command(t, "fish", append(flags, "-c", `
		complete -c wrapped -l color
		complete -c wrapped -l other
		while read line
			complete -C $line 2>&1
			echo end
		end`)...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	next := startLines(t, cmd)
	return func(t *testing.T, before, word string) (completions []string) {
		t.Helper()
		if _, err := fmt.Fprintln(stdin, before+word); err != nil {
			t.Fatal(err)
		}
		for line := next(); line != "end"; line = next() {
			completion, _, _ := strings.Cut(line, "\t")
			completions = append(completions, completion)
		}
		if completions == nil && word != "" {
			completions = []string{word}
		}
		return completions
	}
}

func lookShell(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip(err)
	}
}
