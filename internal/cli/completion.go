package cli

import (
	"io"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c *completionCommand) execute(out io.Writer) (exit, error) {
	return exit{}, nil
}
