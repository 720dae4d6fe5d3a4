package cli

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"

	"github.com/alecthomas/kong"
)

// variables maps flags to their environment variables. kong would read the variables itself, but
// it takes an empty variable for a value, and it fails for an invalid variable even if the flag
// is on the command line. A resolver is asked only for flags that are not on the command line.
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
	text := fromEnvironment(v[flag.Value])
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
