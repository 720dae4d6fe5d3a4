package cli

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

const description = `Run a command under a limit that the whole machine shares.

A pool has a fixed number of slots. poolrun takes a slot, or waits in line for one; runs the command; returns the slot; and exits as the command did.`

// parse parses a command line by kong and returns the command that it selects, which is one of
// commands. If the arguments ask for help, parse writes it and returns a command that does nothing.
func parse(args []string, commands *commandLine) (command, error) {
	args, err := nameCommand(args)
	if err != nil {
		return nil, err
	}
	environment, helped := variables{}, false
	parser := newParser(commands,
		kong.Exit(func(int) { helped = true }), // kong goes on after that, and its errors mean nothing
		kong.Resolvers(environment),
	)
	environment.takeFrom(parser.Model)
	// kong takes time with many arguments, and a command can have very many.
	args, toRun := cutCommand(parser.Model, args)
	parsed, err := parser.Parse(args)
	if helped {
		return helpCommand{}, nil
	}
	if err != nil {
		return nil, allProblems(parser.Model, args, err)
	}
	if toRun != nil {
		commands.Run.Command = toRun
	}
	return parsed.Selected().Target.Addr().Interface().(command), nil
}

// newParser returns a parser for the commands. Its model is what kong reads in the struct tags.
func newParser(commands *commandLine, options ...kong.Option) *kong.Kong {
	parser, err := kong.New(commands, append(options,
		kong.Name("poolrun"),
		kong.WithHyphenPrefixedParameters(true), // as getopt(3): --priority -5
		kong.Description(description),
		kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Writers(os.Stdout, os.Stderr),
		kong.KindMapper(reflect.String, kong.MapperFunc(decodeString)),
		kong.TypeMapper(reflect.TypeFor[poolName](), kong.MapperFunc(decodeName)),
		kong.TypeMapper(reflect.TypeFor[localName](), kong.MapperFunc(decodeName)),
		kong.TypeMapper(reflect.TypeFor[placeName](), kong.MapperFunc(decodeName)),
	)...)
	if err != nil {
		panic(err) // a mistake in the struct tags
	}
	return parser
}

// decodeString and decodeName read values as they are. kong would make JSON of them, in which all text
// is UTF-8.
func decodeString(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("string")
	if err != nil {
		return err
	}
	target.SetString(token.String())
	return nil
}

func decodeName(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("name")
	if err != nil {
		return err
	}
	return target.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(token.String()))
}

// helpCommand stands for a command line with --help, after the help was written.
type helpCommand struct{}

func (helpCommand) execute(io.Writer) (exit, error) { return exit{}, nil }
func (helpCommand) examples() string                { return "" }

// nameCommand inserts "run" before arguments that do not begin with the name of a command. Only the
// first word can be such a name, so the command to run may have any name.
func nameCommand(args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, errors.New("no command to run")
	}
	if args[0] == "--help" || args[0] == "-h" || isCommandName(args[0]) {
		return args, nil
	}
	if !strings.HasPrefix(args[0], "-") && os.Getenv("POOLRUN_POOL") == "" {
		return nil, unknownCommand(args[0]) // all flags of run stand before its command
	}
	return slices.Insert(slices.Clone(args), 0, "run"), nil
}

// variables maps flags to their environment variables. kong would read the variables itself, but it
// takes an empty variable for a value, and it fails for an invalid variable even if the flag is on
// the command line. A resolver is asked only for flags that are not on the command line.
type variables map[*kong.Value]string

// takeFrom removes the variables from kong's model, and keeps them in the help texts.
func (v variables) takeFrom(node *kong.Application) {
	for _, command := range node.Children {
		for _, flag := range command.Flags {
			if len(flag.Tag.Envs) > 0 {
				v[flag.Value] = flag.Tag.Envs[0]
				flag.Help = kong.DefaultHelpValueFormatter(flag.Value)
				flag.Tag.Envs = nil
			}
		}
	}
}

// Resolve implements kong.Resolver. It parses the value first itself, so that an error names the
// variable as well as the flag.
func (v variables) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	text := os.Getenv(v[flag.Value])
	if text == "" {
		return nil, nil
	}
	token := kong.Token{Type: kong.FlagValueToken, Value: text}
	if err := flag.Parse(kong.ScanFromTokens(token), reflect.New(flag.Target.Type()).Elem()); err != nil {
		return nil, fmt.Errorf("%s: %w", v[flag.Value], cmp.Or(errors.Unwrap(err), err))
	}
	return text, nil
}

// Validate implements kong.Resolver.
func (v variables) Validate(*kong.Application) error { return nil }
