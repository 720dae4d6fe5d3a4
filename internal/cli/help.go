package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// printHelp writes the help that kong makes of the struct tags, and then the examples of the command.
// kong would write a detailed help before the arguments and flags.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	var text bytes.Buffer
	out := ctx.Stdout
	ctx.Stdout = &text
	err := kong.DefaultHelpPrinter(options, ctx)
	if ctx.Stdout = out; err != nil {
		return err
	}
	// All flags of run stand before its command.
	usage := strings.Replace(text.String(), "[<command> ...] [flags]", "[flags] [--] <command> ...", 1)
	if _, err := io.WriteString(out, usage); err != nil {
		return err
	}
	selected := ctx.Selected()
	if selected == nil {
		return nil
	}
	examples := selected.Target.Addr().Interface().(command).examples()
	_, err = fmt.Fprintf(out, "\nExamples:\n  %s\n", strings.ReplaceAll(examples, "\n", "\n  "))
	return err
}
