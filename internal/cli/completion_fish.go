package cli

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

//go:embed completion.fish
var fishScript string

// fishCommands returns functions that print the names of the commands, and the flags of a command for
// argparse(1), and the calls of complete(1) for each command.
func fishCommands(model *kong.Application) string {
	var names []string
	var cases, calls strings.Builder
	for _, command := range model.Children {
		names = append(names, command.Name)
		fmt.Fprintf(&calls, "\ncomplete -c poolrun -n __poolrun_at_first -a %s -d %s\n", command.Name, fishQuote(summary(command.Help)))
		at, options := "__poolrun_at "+command.Name, ""
		for i, arg := range command.Positional {
			position := fmt.Sprintf(" %d", i+1)
			if runsCommand(command) {
				position = ""
			}
			fmt.Fprintf(&calls, "complete -c poolrun -n '%s%s'%s\n", at, position, fishValue(arg))
		}
		if runsCommand(command) {
			at, options = at+" 1", " --stop-nonopt"
		}
		for _, flag := range flagsOf(command) {
			names, option, value := " -l "+flag.Name, flag.Name, ""
			if flag.Short != 0 {
				names, option = fmt.Sprintf(" -s %c%s", flag.Short, names), fmt.Sprintf("%c/%s", flag.Short, option)
			}
			if !flag.IsBool() {
				value, option = fishValue(flag.Value), option+"="
			}
			options += " " + option
			fmt.Fprintf(&calls, "complete -c poolrun -n '%s'%s%s -d %s\n", at, names, value, fishQuote(summary(flag.Help)))
		}
		fmt.Fprintf(&cases, "        case %s\n            string split ' ' -- '%s'\n", command.Name, options[1:])
	}
	return "function __poolrun_commands\n    string split ' ' '" + strings.Join(names, " ") + "'\nend\n\n" +
		"function __poolrun_options\n    switch $argv[1]\n" + cases.String() + "    end\nend\n" + calls.String()
}

// fishValue returns the arguments of complete(1) for a value.
func fishValue(value *kong.Value) string {
	switch c := completionOf(value); c.kind {
	case completeWords:
		return " -x -a " + fishQuote(strings.Join(c.words, " "))
	case completePool:
		return " -x -a '(__poolrun_pools)'"
	case completeSlot:
		return " -x -a '(__poolrun_slots)'"
	case completeGroup:
		return " -x -a '(__fish_complete_groups)'"
	case completeFile:
		return " -r -F"
	case completeCommand:
		return " -x -a '(__poolrun_command)'"
	}
	return " -x"
}

func fishQuote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}
