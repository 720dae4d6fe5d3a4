// Package parser parses all command lines, by kong, from the struct tags of package
// cli. An ordinary run does not come here: see cli.ParseQuickly.
package parser

import (
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/poolrun/poolrun/internal/cli"
)

const description = `Run a command under a limit that the whole machine shares.

A pool has a fixed number of slots. poolrun takes one, or waits in line for one; runs the command; ends as the command ended; and gives the slot back.`

// Main runs poolrun with these arguments and returns its exit code. Where the
// command, or the wait for it, was ended by a signal, it ends this process by the
// same signal.
func Main(args []string) int {
	runtime.LockOSThread() // as it is in an init function, where an ordinary run takes place
	if err := cli.ObeySignals(); err != nil {
		return cli.Conclude(err)
	}
	var commands cli.CommandLine
	helped := false
	chosen, err := parse(args, &commands, func(int) { helped = true })
	if helped {
		return 0
	}
	if err != nil {
		return cli.Conclude(cli.UsageError{Cause: err})
	}
	return cli.Conclude(chosen.Run())
}

func parse(args []string, commands *cli.CommandLine, exit func(int)) (chosen *kong.Context, err error) {
	args, err = nameCommand(args)
	if err != nil {
		return nil, err
	}
	environment := variables{}
	parser, err := kong.New(commands,
		kong.Name("poolrun"),
		kong.WithHyphenPrefixedParameters(true), // as getopt(3): --priority -5
		kong.Description(description),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Exit(exit),
		kong.Writers(os.Stdout, os.Stderr),
		kong.BindTo(os.Stdout, (*io.Writer)(nil)),
		kong.Resolvers(environment),
	)
	if err != nil {
		panic(err) // a mistake in the struct tags
	}
	environment.takeFrom(parser.Model)
	return parser.Parse(args)
}

// nameCommand puts "run" before arguments that begin with no command's name. So
// the first word alone decides, and what stands after "--" is never mistaken for
// a command of poolrun's own.
func nameCommand(args []string) ([]string, error) {
	if len(args) == 0 || args[0] == "--help" || args[0] == "-h" || cli.IsCommandName(args[0]) {
		return args, nil
	}
	if !strings.HasPrefix(args[0], "-") && cli.FromEnvironment("POOLRUN_POOL") == "" {
		return nil, unknownCommand(args[0]) // every flag of run stands before its command
	}
	return slices.Insert(slices.Clone(args), 0, "run"), nil
}
