// Package cli is the command line of poolrun: it joins what package pool knows of
// slots and package supervisor of commands. One file holds one command.
package cli

import (
	"io"
	"os"
	"slices"

	"github.com/alecthomas/kong"
)

// The commands, and with their struct tags the whole interface: --help, parsing
// and the defaults come from here.
type commandLine struct {
	Run     runCommand     `cmd:"" help:"Run a command in a slot of a pool. This is what poolrun does where no other command is named first: \"poolrun --pool NAME -- COMMAND\"."`
	Init    initCommand    `cmd:"" help:"Create a pool."`
	Destroy destroyCommand `cmd:"" help:"Remove a pool."`
	Status  statusCommand  `cmd:"" help:"Show who holds the slots of a pool and who waits for them."`
	Resize  resizeCommand  `cmd:"" help:"Give a pool more or fewer slots."`
	Repair  repairCommand  `cmd:"" help:"Check a pool, mend what can be mended, and say what was found."`
	Barrier barrierCommand `cmd:"" help:"Wait until a number of callers have arrived, and let all go on."`
	List    listCommand    `cmd:"" help:"Show all pools, one a line."`
	Version versionCommand `cmd:"" help:"Show the version."`
}

const description = `Run a command under a limit that the whole machine shares.

A pool has a fixed number of slots. poolrun takes one, or waits in line for one; runs the command; ends as the command ended; and gives the slot back.`

// Main runs poolrun with these arguments and returns its exit code. Where the
// command, or the wait for it, was ended by a signal, it ends this process by the
// same signal.
func Main(args []string) int {
	var quick runCommand
	if parseQuickly(args, &quick) {
		return conclude(quick.Run())
	}
	var commands commandLine
	helped := false
	parser := newParser(&commands, func(int) { helped = true })
	chosen, err := parser.Parse(nameCommand(args))
	if helped {
		return 0
	}
	if err != nil {
		return conclude(usageError{err})
	}
	return conclude(chosen.Run())
}

func newParser(commands *commandLine, exit func(int)) *kong.Kong {
	parser, err := kong.New(commands,
		kong.Name("poolrun"),
		kong.WithHyphenPrefixedParameters(true), // as getopt(3): --priority -5
		kong.Description(description),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Exit(exit),
		kong.Writers(os.Stdout, os.Stderr),
		kong.BindTo(os.Stdout, (*io.Writer)(nil)),
	)
	if err != nil {
		panic(err) // a mistake in the struct tags
	}
	return parser
}

// nameCommand puts "run" before arguments that begin with no command's name. So
// the first word alone decides, and what stands after "--" is never mistaken for
// a command of poolrun's own.
func nameCommand(args []string) []string {
	if len(args) == 0 || args[0] == "--help" || args[0] == "-h" || isCommandName(args[0]) {
		return args
	}
	return slices.Insert(slices.Clone(args), 0, "run")
}
