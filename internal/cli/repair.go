package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/poolrun/poolrun/pool"
)

// beyondRepair marks the error for a damage that repair cannot mend.
type beyondRepair struct{ error }

func (b beyondRepair) Unwrap() error { return b.error }

type repairCommand struct {
	Name  localName `arg:"" help:"The pool."`
	Force bool      `help:"Put missing slots back although another program may hold them, and take back slots whose holder cannot be seen from here."`
}

func (*repairCommand) examples() string { return "poolrun repair /db" }

func (c *repairCommand) execute(out io.Writer) (exit, error) {
	report, err := pool.Repair(c.Name.String(), c.Force)
	for _, text := range report.Mended {
		fmt.Fprintf(out, "mended: %s\n", text)
	}
	for _, text := range report.Left {
		fmt.Fprintf(out, "left: %s\n", text)
	}
	switch {
	case errors.Is(err, pool.ErrDamaged):
		return exit{}, beyondRepair{err}
	case err != nil:
		return exit{}, err
	case len(report.Left) > 0:
		return exit{}, fmt.Errorf("pool %s is not fully mended", c.Name)
	}
	_, err = fmt.Fprintf(out, "pool %s is sound\n", c.Name)
	return exit{}, err
}
