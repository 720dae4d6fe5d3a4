package parser

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"

	"github.com/alecthomas/kong"
	"github.com/poolrun/poolrun/internal/cli"
)

// variables are the environment variables of flags. kong would read them itself, but
// takes an empty one for a value, and fails for one that makes no sense even where the
// flag stands on the command line. A resolver of kong's is asked only for flags that
// do not.
type variables map[*kong.Value]string

// takeFrom takes the variables over from kong, which goes on showing them in --help.
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

// Resolve implements kong.Resolver. It parses the value itself, first, so that an error
// names the variable as well as the flag.
func (v variables) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	text := cli.FromEnvironment(v[flag.Value])
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
