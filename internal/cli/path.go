package cli

import (
	"fmt"
	"io"

	"github.com/poolrun/poolrun/pool"
)

type pathCommand struct {
	Name localName `arg:"" help:"The pool."`
}

func (*pathCommand) examples() string {
	return `# Open the pool as descriptor 9 of this shell.
exec 9<"$(poolrun path /db)"`
}

func (c *pathCommand) execute(out io.Writer) (exit, error) {
	// The pool is opened so that a script hears of a missing pool here, and not from the shell.
	p, err := pool.OpenReadOnly(c.Name.String())
	if err != nil {
		return exit{}, err
	}
	p.Close()
	path, err := pool.Path(c.Name.String())
	if err != nil {
		return exit{}, err
	}
	_, err = fmt.Fprintln(out, path)
	return exit{}, err
}
