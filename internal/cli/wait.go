package cli

import (
	"fmt"
	"io"
)

type waitCommand struct {
	Name    poolName `arg:"" help:"The pool."`
	Timeout duration `short:"w" placeholder:"DUR" help:"Wait at most DUR, then exit with code 75."`
}

func (*waitCommand) examples() string {
	return "poolrun wait /db --timeout 10m && systemctl restart postgresql"
}

func (c *waitCommand) execute(io.Writer) (exit, error) {
	p, err := openToManage(c.Name)
	if err != nil {
		return exit{}, err
	}
	defer p.Close()
	return exit{}, waitAtMost(c.Timeout, p.WaitIdle, fmt.Sprintf("pool %s is still in use", p.Name()))
}
