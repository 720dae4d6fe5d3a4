package cli

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

//go:embed completion.bash
var bashScript string

// bashCommands returns a function that sets variables of its caller: commands, and the flags and args of
// a command. A flag that has a value is followed by = and the completion of the value.
func bashCommands(model *kong.Application) string {
	var names []string
	var cases strings.Builder
	for _, command := range model.Children {
		names = append(names, command.Name)
		var flags, args []string
		for _, flag := range flagsOf(command) {
			value := ""
			if !flag.IsBool() {
				value = "=" + bashValue(flag.Value)
			}
			if flag.Short != 0 {
				flags = append(flags, "-"+string(flag.Short)+value)
			}
			flags = append(flags, "--"+flag.Name+value)
		}
		for _, arg := range command.Positional {
			args = append(args, bashValue(arg))
		}
		fmt.Fprintf(&cases, "\t%s)\n\t\tflags=(%s)\n\t\targs=(%s)\n\t\t;;\n", command.Name, strings.Join(flags, " "), strings.Join(args, " "))
	}
	return "_poolrun_command_line() {\n\tcommands=(" + strings.Join(names, " ") + ")\n\tcase $1 in\n" + cases.String() + "\tesac\n}\n"
}

// bashValue returns a completion as the script reads it: the kind, and the words after commas.
func bashValue(value *kong.Value) string {
	c := completionOf(value)
	if c.words == nil {
		return string(c.kind)
	}
	return "'" + string(c.kind) + "," + strings.Join(c.words, ",") + "'"
}
