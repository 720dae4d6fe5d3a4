package cli

import (
	"io"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (*completionCommand) examples() string {
	return `# bash: load the completion now.
eval "$(poolrun completion bash)"
# fish: load it in every shell.
poolrun completion fish >~/.config/fish/completions/poolrun.fish`
}

func (c *completionCommand) execute(out io.Writer) (exit, error) {
	return exit{}, nil
}
