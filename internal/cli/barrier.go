package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/poolrun/poolrun/gate"
)

type barrierCommand struct {
	Name    poolName  `arg:"" help:"The barrier, named like a pool."`
	Parties int       `required:"" placeholder:"N" help:"How many have to arrive. All have to give the same number."`
	Timeout *duration `short:"w" placeholder:"DUR" help:"Give up after this time, with exit code 75: the arrival is taken back."`
}

func (c *barrierCommand) Run() error {
	barrier, err := gate.NewBarrier(string(c.Name), c.Parties)
	if err != nil {
		return UsageError{err}
	}
	ctx, stop, err := interruptible(c.Timeout)
	if err != nil {
		return err
	}
	defer stop()
	err = cause(ctx, barrier.Wait(ctx))
	if errors.Is(err, context.DeadlineExceeded) {
		return busyError{fmt.Sprintf("not all of %d parties came to barrier %s within %v", c.Parties, c.Name, time.Duration(*c.Timeout)), exitBusy}
	}
	return err
}
