// Pool_server creates a pool, reports how many slots are in use and how many clients wait,
// and removes the pool on SIGINT, SIGTERM or SIGHUP.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/poolrun/poolrun/pool"
)

func main() {
	name := flag.String("pool", "/demo", "name of the pool")
	size := flag.Int("size", 4, "number of slots")
	every := flag.Duration("every", 200*time.Millisecond, "how often to look for a change to report")
	flag.Parse()
	if err := serve(*name, *size, *every); err != nil {
		fmt.Fprintln(os.Stderr, "pool_server:", err)
		os.Exit(2)
	}
}

func serve(name string, size int, every time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()

	if err := pool.Create(name, pool.Config{Size: size}); err != nil {
		return err
	}
	p, err := pool.Open(name)
	if err != nil {
		return err
	}
	defer p.Close()
	fmt.Printf("%s: serving %d slots\n", p.Name(), size)

	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for last := ""; ctx.Err() == nil; {
		s, err := p.Status()
		if err != nil {
			return err
		}
		if line := fmt.Sprintf("%s: %d in use, %d available, %d waiting", s.Name, s.InUse, s.Available, len(s.Waiters)); line != last {
			fmt.Println(line)
			last = line
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	if err := p.ForceDestroy(); err != nil {
		return err
	}
	fmt.Printf("%s: removed\n", p.Name())
	return nil
}
