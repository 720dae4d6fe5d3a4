package cli

import (
	"context"
	"errors"
	"time"

	"github.com/poolrun/poolrun/supervisor"
)

// interruptible returns a context that ends with a deadly signal, or after a timeout. After end is
// called, signals have their default effects again.
func interruptible(timeout *duration) (ctx context.Context, end func(), err error) {
	signals, err := supervisor.Catch()
	if err != nil {
		return nil, nil, err
	}
	ctx, release := signals.Context(timeout.after(time.Now()), nil)
	return ctx, func() { release(); signals.ApplyDefaults() }, nil
}

// cause returns the reason for which a context ended, a signal or the timeout, if err says that it
// ended, and err otherwise.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return err
}
