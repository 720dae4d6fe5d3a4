package cli

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

type versionCommand struct{}

// Set by the Makefile where the build knows better than the module.
var version, commit string

func (c *versionCommand) Run(out io.Writer) error {
	v, rev := version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && rev == "" {
				rev = s.Value
			}
		}
	}
	_, err := fmt.Fprintf(out, "poolrun %s, commit %s, %s\n", v, cmp.Or(rev, "unknown"), runtime.Version())
	return err
}
