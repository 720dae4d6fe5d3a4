package cli

import (
	"io"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (*completionCommand) examples() string {
	return `# bash: load the completion now.
eval "$(poolrun completion bash)"
# fish: load it in every shell.
poolrun completion fish >~/.config/fish/completions/poolrun.fish`
}

func (c *completionCommand) execute(out io.Writer) (exit, error) {
	_, err := io.WriteString(out, completionScript(c.Shell, newParser(new(commandLine)).Model))
	return exit{}, err
}

// completionScript returns the script for a shell. It consists of the file completion.SHELL and of what
// kong's model says about the commands, so a new flag appears in it by itself.
func completionScript(shell string, model *kong.Application) string {
	var script, commands string
	switch shell {
	case "bash":
		script, commands = bashScript, bashCommands(model)
	case "zsh":
		script, commands = zshScript, zshCommands(model)
	case "fish":
		script, commands = fishScript, fishCommands(model)
	}
	return strings.Replace(script, "# COMMANDS\n", commands, 1)
}

// A completion is what a shell offers as the value of a flag or an argument.
type completion struct {
	kind  completionKind
	words []string // if the kind is completeWords
}

// The kinds of completion. The tag "complete" of a field can give each of them except completeWords.
type completionKind string

const (
	completeNothing completionKind = "nothing"
	completeWords   completionKind = "words"
	completePool    completionKind = "pool"
	completeSlot    completionKind = "slot" // in use, of the pool that is the first argument
	completeGroup   completionKind = "group"
	completeFile    completionKind = "file"
	completeCommand completionKind = "command" // a command and its arguments
)

// completionOf says how to complete a value: as the field's tag says, or else as its type does.
func completionOf(value *kong.Value) completion {
	if kind := value.Tag.Get("complete"); kind != "" {
		return completion{kind: completionKind(kind)}
	}
	if value.Enum != "" {
		return completion{completeWords, value.EnumSlice()}
	}
	switch value.Target.Interface().(type) {
	case poolName, localName, placeName:
		return completion{kind: completePool}
	case listPlace:
		return completion{completeWords, []string{"etcd:///", "etcds:///"}}
	case signalName:
		return completion{completeWords, signalNames()}
	}
	return completion{kind: completeNothing}
}

// signalNames returns the names that kill(1) knows, except those of real-time signals.
func signalNames() (names []string) {
	const firstRealTime = 32
	for n := syscall.Signal(1); n < firstRealTime; n++ {
		names = append(names, strings.TrimPrefix(unix.SignalName(n), "SIG"))
	}
	return names
}

// flagsOf returns the flags of a command, --help included.
func flagsOf(command *kong.Node) (flags []*kong.Flag) {
	for _, group := range command.AllFlags(true) {
		flags = append(flags, group...)
	}
	return flags
}

// runsCommand reports whether the arguments of a command are another command to run. Its own flags then
// come before these.
func runsCommand(command *kong.Node) bool {
	return len(command.Positional) > 0 && completionOf(command.Positional[0]).kind == completeCommand
}

// summary returns the first sentence of a help text, without the period.
func summary(help string) string {
	sentence, _, _ := strings.Cut(help, ". ")
	return strings.TrimSuffix(sentence, ".")
}
