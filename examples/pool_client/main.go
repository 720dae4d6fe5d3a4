// Pool_client acquires a slot of a pool, holds it for a while, and releases it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/poolrun/poolrun/pool"
)

func main() {
	name := flag.String("pool", "/demo", "name of the pool")
	timeout := flag.Duration("timeout", -1, "longest wait for a slot; for ever if negative")
	var hold time.Duration
	flag.Func("hold", "how long to hold the slot, in seconds or as a duration like 250ms", func(text string) (err error) {
		hold, err = parse(text)
		return err
	})
	flag.Parse()
	switch err := use(*name, hold, *timeout); {
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Fprintln(os.Stderr, "pool_client: no slot in time")
		os.Exit(75)
	case err != nil:
		fmt.Fprintln(os.Stderr, "pool_client:", err)
		os.Exit(2)
	}
}

func parse(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return time.Duration(seconds * float64(time.Second)), nil
	}
	return time.ParseDuration(text)
}

func use(name string, hold, timeout time.Duration) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()

	p, err := pool.Open(name)
	if err != nil {
		return err
	}
	defer p.Close()

	wait := ctx
	if timeout >= 0 {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	lease, err := p.Acquire(wait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lease.Release()) }()
	fmt.Printf("%s: slot %d acquired\n", p.Name(), lease.Slots()[0])

	select {
	case <-time.After(hold):
	case <-ctx.Done():
	}
	fmt.Printf("%s: slot %d released\n", p.Name(), lease.Slots()[0])
	return nil
}
