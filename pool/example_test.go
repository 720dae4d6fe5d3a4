package pool_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/poolrun/poolrun/pool"
)

// At most two processes of this machine are between Acquire and Release.
func Example() {
	if err := pool.Create("/pool-example", pool.Config{Size: 2}); err != nil {
		log.Fatal(err)
	}
	p, err := pool.Open("/pool-example")
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	defer p.Destroy()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	lease, err := p.Acquire(ctx)
	if err != nil {
		log.Fatal(err) // context.DeadlineExceeded: no slot in time
	}
	fmt.Println("slots", lease.Slots())
	if err := lease.Release(); err != nil {
		log.Fatal(err)
	}
	// Output: slots [0]
}
