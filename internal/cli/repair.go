package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/poolrun/poolrun/pool"
)

type repairCommand struct {
	Name  poolName `arg:"" help:"The pool."`
	Force bool     `help:"Put missing slots back although a foreign program may hold them."`
}

func (c *repairCommand) Run(out io.Writer) error {
	findings, err := pool.Repair(string(c.Name), c.Force)
	for _, text := range findings.Mended {
		fmt.Fprintf(out, "mended: %s\n", text)
	}
	for _, text := range findings.Left {
		fmt.Fprintf(out, "left: %s\n", text)
	}
	if err != nil {
		return err
	}
	if len(findings.Left) > 0 {
		return &pool.Error{Pool: string(c.Name), Kind: pool.ErrDamaged, Cause: errors.New("not all could be mended")}
	}
	_, err = fmt.Fprintf(out, "pool %s is sound\n", c.Name)
	return err
}
