package cli

import (
	"context"
	"errors"
	"time"

	"github.com/poolrun/poolrun/supervisor"
)

// interruptible returns a context for a wait that a signal or a timeout ends.
func interruptible(timeout *duration) (ctx context.Context, stop func(), err error) {
	signals, err := supervisor.Catch()
	if err != nil {
		return nil, nil, err
	}
	ctx, keep := signals.Context(timeout.after(time.Now()), nil)
	return ctx, func() { keep(); signals.ApplyDefaults() }, nil
}

// ObeySignals makes signals do what they do by default, whatever poolrun is doing: most
// commands have nothing to put in order. What does, takes that back.
func ObeySignals() error {
	signals, err := supervisor.Catch()
	if err == nil {
		signals.ApplyDefaults()
	}
	return err
}

// cause is the error behind a context that has ended: an interruption by a
// signal, or that time is up.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return err
}
