package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/poolrun/poolrun/pool"
)

// beyondRepair is a damage that repair cannot mend.
type beyondRepair struct{ error }

func (b beyondRepair) Unwrap() error { return b.error }

type repairCommand struct {
	Name  poolName `arg:"" help:"The pool."`
	Force bool     `help:"Put missing slots back although another program may hold them, and take slots back whose holder cannot be seen from here."`
}

func (c *repairCommand) Run(out io.Writer) error {
	report, err := pool.Repair(string(c.Name), c.Force)
	for _, text := range report.Mended {
		fmt.Fprintf(out, "mended: %s\n", text)
	}
	for _, text := range report.Left {
		fmt.Fprintf(out, "left: %s\n", text)
	}
	if errors.Is(err, pool.ErrDamaged) {
		return beyondRepair{err}
	}
	if err != nil {
		return err
	}
	if len(report.Left) > 0 {
		return fmt.Errorf("not all of pool %s could be mended", c.Name)
	}
	_, err = fmt.Fprintf(out, "pool %s is sound\n", c.Name)
	return err
}
