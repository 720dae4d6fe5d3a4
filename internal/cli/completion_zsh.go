package cli

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

//go:embed completion.zsh
var zshScript string

// zshCommands returns a function that sets the variable commands of its caller, for _describe, and one
// that calls _arguments for a command. See zshcompsys(1).
func zshCommands(model *kong.Application) string {
	var names, cases strings.Builder
	for _, command := range model.Children {
		fmt.Fprintf(&names, "\t\t%s\n", zshQuote(command.Name+":"+zshEscape(summary(command.Help))))
		fmt.Fprintf(&cases, "\t%s)\n\t\t_arguments -s -S", command.Name)
		if runsCommand(command) {
			cases.WriteString(" -A '-*'")
		}
		cases.WriteString(" :")
		for _, flag := range flagsOf(command) {
			for _, spec := range zshFlag(flag) {
				fmt.Fprintf(&cases, " \\\n\t\t\t%s", zshQuote(spec))
			}
		}
		for _, arg := range command.Positional {
			fmt.Fprintf(&cases, " \\\n\t\t\t%s", zshQuote(zshArgument(arg)))
		}
		cases.WriteString("\n\t\t;;\n")
	}
	return "_poolrun_names() {\n\tnames=(\n" + names.String() + "\t)\n}\n\n_poolrun_arguments() {\n\tcase $1 in\n" + cases.String() + "\tesac\n}\n"
}

// zshFlag returns the specifications of a flag's forms. A form excludes the others if the flag cannot be
// repeated, and --help excludes everything.
func zshFlag(flag *kong.Flag) (specs []string) {
	forms := []string{"--" + flag.Name}
	if flag.Short != 0 {
		forms = append(forms, "-"+string(flag.Short))
	}
	before := "(" + strings.Join(forms, " ") + ")"
	if flag.Name == "help" {
		before = "(- : *)"
	} else if flag.IsCumulative() {
		before = "*"
	}
	after := "[" + zshEscape(summary(flag.Help)) + "]"
	if !flag.IsBool() {
		forms[0] += "="
		if len(forms) > 1 {
			forms[1] += "+"
		}
		after += ":" + zshEscape(flag.FormatPlaceHolder()) + ":" + zshAction(flag.Value)
	}
	for _, form := range forms {
		specs = append(specs, before+form+after)
	}
	return specs
}

func zshArgument(arg *kong.Value) string {
	colons := ":"
	if completionOf(arg).kind == completeCommand {
		colons = "*::"
	} else if !arg.Required {
		colons = "::"
	}
	return colons + zshEscape(arg.Name) + ":" + zshAction(arg)
}

// zshAction is what _arguments does to complete a value.
func zshAction(value *kong.Value) string {
	switch c := completionOf(value); c.kind {
	case completeWords:
		return "(" + zshEscape(strings.Join(c.words, " ")) + ")"
	case completePool:
		return "_poolrun_pools"
	case completeSlot:
		return "_poolrun_slots"
	case completeGroup:
		return "_groups"
	case completeFile:
		return "_files"
	case completeCommand:
		return "_normal -p poolrun"
	}
	return " "
}

// zshEscape escapes the characters that separate the parts of a specification.
func zshEscape(text string) string {
	return strings.NewReplacer(`\`, `\\`, `:`, `\:`, `[`, `\[`, `]`, `\]`).Replace(text)
}

func zshQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
