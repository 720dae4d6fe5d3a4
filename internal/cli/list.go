package cli

import (
	"fmt"
	"io"
	"text/tabwriter"
)

type listCommand struct {
	Place listPlace `arg:"" optional:"" help:"List the pools there, like etcd:/// (default: those of this machine)."`
}

func (*listCommand) examples() string { return "poolrun list" }

// A listPlace is a URL without a name of a pool.
type listPlace struct{ placeName }

func (p *listPlace) UnmarshalText(text []byte) error {
	if p.poolName = poolName(text); !p.isPlace() {
		return fmt.Errorf("invalid place %q: want something like etcd:///", text)
	}
	return nil
}

func (c *listCommand) execute(out io.Writer) (exit, error) {
	all, problems, err := statusOfAll(c.Place.placeName)
	if err != nil {
		return exit{}, err
	}
	for _, problem := range problems {
		say("%s", problem)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "POOL\tSIZE\tIN USE\tWAITING\tMODE")
	for _, s := range all {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\n", printable(s.Name), s.Size, s.InUse, len(s.Waiters), orDash(modeOf(s)))
	}
	return exit{}, table.Flush()
}
