package cli

import (
	"fmt"
	"io"

	"github.com/poolrun/poolrun/gate"
)

type barrierCommand struct {
	Name    localName  `arg:"" complete:"nothing" help:"The barrier, named like a pool."`
	Parties partyCount `required:"" placeholder:"N" help:"Wait until N callers have arrived. All of them must give the same N, 1 to 4096."`
	Timeout duration   `short:"w" placeholder:"DUR" help:"Wait at most DUR, then take the arrival back and exit with code 75."`
}

func (*barrierCommand) examples() string {
	return `# Three scripts call this. All of them go on when the last one has arrived.
poolrun barrier /ready --parties 3 --timeout 1m`
}

func (c *barrierCommand) execute(io.Writer) (exit, error) {
	barrier, err := gate.NewBarrier(c.Name.String(), int(c.Parties))
	if err != nil {
		return exit{}, usageError{err}
	}
	return exit{}, waitAtMost(c.Timeout, barrier.Wait, fmt.Sprintf("not all of %d parties have arrived at barrier %s", c.Parties, c.Name))
}

// A partyCount is the number of parties of a barrier.
type partyCount int

func (p *partyCount) UnmarshalText(text []byte) error {
	return unmarshalNumber((*int)(p), text, "number of parties", 1, gate.MaxParties)
}
