package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/poolrun/poolrun/pool"
)

type destroyCommand struct {
	Name    poolName `arg:"" help:"The pool."`
	Force   bool     `xor:"how" help:"Remove the pool now, even if it is damaged. Running commands go on, waiting ones exit with code 2."`
	Drain   bool     `xor:"how" help:"Refuse new commands, wait until all others have finished, and remove the pool."`
	Timeout duration `short:"w" placeholder:"DUR" help:"With --drain: wait at most DUR, then admit new commands again and exit with code 75."`
}

func (*destroyCommand) examples() string {
	return `# Let all commands finish first, but wait no longer than an hour.
poolrun destroy /db --drain --timeout 1h`
}

func (c *destroyCommand) execute(io.Writer) (exit, error) {
	if c.Timeout.isGiven && !c.Drain {
		return exit{}, usageError{errors.New("--timeout needs --drain")}
	}
	p, err := openToManage(c.Name)
	if c.Force && !c.Name.isRemote() && (errors.Is(err, pool.ErrDamaged) || errors.Is(err, pool.ErrVersion) || errors.Is(err, pool.ErrPermission)) {
		return exit{}, pool.Remove(c.Name.String())
	}
	if err != nil {
		return exit{}, err
	}
	defer p.Close()
	switch {
	case c.Force:
		return exit{}, p.ForceDestroy()
	case c.Drain:
		return exit{}, waitAtMost(c.Timeout, p.Drain, fmt.Sprintf("pool %s is still in use", p.Name()))
	default:
		return exit{}, p.Destroy()
	}
}
