package cli

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/poolrun/poolrun/supervisor"
)

type versionCommand struct{}

func (*versionCommand) examples() string { return "poolrun version" }

// The Makefile sets these. Without it, they follow from the module's build information.
var version, commit string

// A plain "go install" does not set the entry point.
const withoutEntryPoint = "built without the entry point: runs take longer, and the command may not inherit ignored signals, closed descriptors or limits; " +
	`build with: CGO_ENABLED=0 go install -ldflags "-E poolrun_entry" github.com/poolrun/poolrun@latest`

func (c *versionCommand) execute(out io.Writer) (exit, error) {
	v, rev := version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		v = cmp.Or(v, strings.TrimPrefix(info.Main.Version, "v"))
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				rev = cmp.Or(rev, s.Value)
			}
		}
	}
	text := fmt.Sprintf("poolrun %s, commit %s, %s\n", v, cmp.Or(rev, "unknown"), runtime.Version())
	if !supervisor.HasEntryPoint() {
		text += withoutEntryPoint + "\n"
	}
	_, err := io.WriteString(out, text)
	return exit{}, err
}
