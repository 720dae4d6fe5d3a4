package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/poolrun/poolrun/pool"
)

type destroyCommand struct {
	Name    poolName  `arg:"" help:"The pool."`
	Force   bool      `xor:"how" help:"Remove the pool now, even if it is damaged. Running commands go on, waiting ones exit with code 2."`
	Drain   bool      `xor:"how" help:"Refuse new commands, wait until all others have finished, and remove the pool."`
	Timeout *duration `short:"w" placeholder:"DUR" help:"With --drain: wait at most DUR, then admit new commands again and exit with code 75."`
}

func (c *destroyCommand) execute(io.Writer) (exit, error) {
	if c.Timeout != nil && !c.Drain {
		return exit{}, usageError{errors.New("--timeout needs --drain")}
	}
	p, err := pool.OpenToManage(string(c.Name))
	if c.Force && (errors.Is(err, pool.ErrDamaged) || errors.Is(err, pool.ErrVersion) || errors.Is(err, pool.ErrPermission)) {
		return exit{}, pool.Remove(string(c.Name))
	}
	if err != nil {
		return exit{}, err
	}
	defer p.Close()
	switch {
	case c.Force:
		return exit{}, p.ForceDestroy()
	case c.Drain:
		return exit{}, c.drain(p)
	default:
		return exit{}, p.Destroy()
	}
}

func (c *destroyCommand) drain(p *pool.Pool) error {
	ctx, end, err := interruptible(c.Timeout)
	if err != nil {
		return err
	}
	defer end()
	err = cause(ctx, p.Drain(ctx))
	if errors.Is(err, context.DeadlineExceeded) {
		return busyError{fmt.Sprintf("pool %s was still in use after %v", p.Name(), time.Duration(*c.Timeout)), exitBusy}
	}
	return err
}
