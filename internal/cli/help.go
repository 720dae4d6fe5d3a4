package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// printHelp writes the help that kong makes of the struct tags, and then the examples of the command.
// kong would write a detailed help before the arguments and flags.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	selected := ctx.Selected()
	if selected == nil {
		return nil
	}
	text := selected.Target.Addr().Interface().(command).examples()
	_, err := fmt.Fprintf(ctx.Stdout, "\nExamples:\n  %s\n", strings.ReplaceAll(text, "\n", "\n  "))
	return err
}
