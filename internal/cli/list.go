package cli

import (
	"fmt"
	"io"
	"text/tabwriter"
)

type listCommand struct{}

func (*listCommand) examples() string { return "poolrun list" }

func (c *listCommand) execute(out io.Writer) (exit, error) {
	all, problems, err := statusOfAll()
	if err != nil {
		return exit{}, err
	}
	for _, problem := range problems {
		say("%s", problem)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "POOL\tSIZE\tIN USE\tWAITING\tMODE")
	for _, s := range all {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%04o\n", printable(s.Name), s.Size, s.InUse, len(s.Waiters), s.Mode)
	}
	return exit{}, table.Flush()
}
