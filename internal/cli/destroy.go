package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/poolrun/poolrun/pool"
)

type destroyCommand struct {
	Name    poolName  `arg:"" help:"The pool."`
	Force   bool      `xor:"how" help:"Remove it now. Running commands run on, waiting ones end with exit code 2. A damaged pool is removed too."`
	Drain   bool      `xor:"how" help:"Admit nobody new, wait until the pool is empty, then remove it."`
	Timeout *duration `short:"w" placeholder:"DUR" help:"With --drain: give up after this time, with exit code 75, and admit newcomers again."`
}

func (c *destroyCommand) Run() error {
	if c.Timeout != nil && !c.Drain {
		return UsageError{errors.New("--timeout goes with --drain")}
	}
	p, err := pool.OpenToManage(string(c.Name))
	if c.Force && (errors.Is(err, pool.ErrDamaged) || errors.Is(err, pool.ErrVersion) || errors.Is(err, pool.ErrPermission)) {
		return pool.Remove(string(c.Name))
	}
	if err != nil {
		return err
	}
	defer p.Close()
	switch {
	case c.Force:
		return p.ForceDestroy()
	case c.Drain:
		return c.drain(p)
	default:
		return p.Destroy()
	}
}

func (c *destroyCommand) drain(p *pool.Pool) error {
	ctx, stop, err := interruptible(c.Timeout)
	if err != nil {
		return err
	}
	defer stop()
	err = cause(ctx, p.Drain(ctx))
	if errors.Is(err, context.DeadlineExceeded) {
		return busyError{fmt.Sprintf("pool %s was still in use after %v", p.Name(), time.Duration(*c.Timeout)), exitBusy}
	}
	return err
}
