package cli

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/poolrun/poolrun/pool"
)

type listCommand struct{}

func (c *listCommand) Run(out io.Writer) error {
	all, failures, err := statusOfAll()
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "POOL\tSIZE\tIN USE\tWAITING\tMODE")
	for _, s := range all {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%04o\n", printable(s.Name), s.Size, s.InUse, len(s.Waiters), s.Mode)
	}
	return errors.Join(table.Flush(), failures)
}

// statusOfAll returns the status of every pool that the caller can read. Pools
// that cannot be read are not its business; those that are damaged are said in
// failures.
func statusOfAll() (all []pool.Status, failures, err error) {
	names, err := pool.Names()
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		s, err := statusOf(name)
		switch {
		case err == nil:
			all = append(all, s)
		case errors.Is(err, pool.ErrDamaged):
			failures = errors.Join(failures, err)
		}
	}
	return all, failures, nil
}
