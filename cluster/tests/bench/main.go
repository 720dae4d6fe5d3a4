// Bench measures pools on etcd beside what etcd itself offers: etcdctl lock, and the mutex of its client.
// Machines are noisy and differ. So every round runs each variant once, in turn, and a ratio is the median
// of the ratios of the rounds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
	"github.com/poolrun/poolrun/cluster/internal/pools"
	"github.com/poolrun/poolrun/cluster/internal/store"
	"github.com/poolrun/poolrun/internal/engine"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A bench has an etcd of its own.
type bench struct {
	poolrun, etcdctl string
	cluster          *etcdtest.Cluster
	rounds           int
}

var sections = []struct {
	name string
	run  func(*bench) error
}{
	{"a whole command", (*bench).wholeCommand},
	{"take and release", (*bench).takeAndRelease},
	{"a line of 200", (*bench).lineOf200},
	{"many waiters", (*bench).manyWaiters},
}

func main() {
	b := &bench{}
	flag.StringVar(&b.poolrun, "poolrun", "../poolrun", "the program to measure, with poolrun-etcd beside it")
	flag.StringVar(&b.etcdctl, "etcdctl", "../build/etcdctl", "the client of etcd")
	flag.IntVar(&b.rounds, "rounds", 30, "how often each variant is run")
	only := flag.String("only", "", "only the section whose name contains this")
	flag.Parse()
	if err := b.main(*only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) main(only string) (err error) {
	for _, path := range []*string{&b.poolrun, &b.etcdctl} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if b.cluster, err = etcdtest.Start(etcdtest.Config{ExtraArgs: []string{"--unsafe-no-fsync=false"}}); err != nil {
		return err
	}
	defer b.cluster.Close()
	for _, s := range sections {
		if strings.Contains(s.name, only) {
			fmt.Println(s.name)
			if err := s.run(b); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	return nil
}

// compare runs two variants in turn, and prints their medians, and the median of the ratios of their times.
func (b *bench) compare(ours, theirs string, rounds int, runOurs, runTheirs func() (time.Duration, error)) error {
	var a, c []time.Duration
	var ratios []float64
	for range rounds {
		x, err := runOurs()
		if err != nil {
			return fmt.Errorf("%s: %w", ours, err)
		}
		y, err := runTheirs()
		if err != nil {
			return fmt.Errorf("%s: %w", theirs, err)
		}
		a, c, ratios = append(a, x), append(c, y), append(ratios, float64(x)/float64(y))
	}
	fmt.Printf("  %-42s %9.2f ms\n  %-42s %9.2f ms   ratio %.2f\n", ours, ms(median(a)), theirs, ms(median(c)), median(ratios))
	return nil
}

func median[T int64 | float64 | time.Duration](list []T) T {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// timed measures a function.
func timed(f func() error) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		began := time.Now()
		err := f()
		return time.Since(began), err
	}
}

// A client is a connection of its own, as every command has one.
type client struct {
	*store.Store
	pool *pools.Pool
}

// connect opens a pool through these endpoints.
func connect(name string, endpoints ...string) (client, error) {
	u, err := engine.ParseURL("etcd:///" + name)
	if err != nil {
		return client{}, err
	}
	s, err := store.Open(store.Config{Endpoints: endpoints})
	if err != nil {
		return client{}, err
	}
	return client{s, pools.Open(s, u, pools.Local{Host: "bench", User: "bench"})}, nil
}

// acquire waits for a slot.
func (c client) acquire(ctx context.Context) (*pools.Holding, error) {
	return c.pool.Acquire(ctx, pools.Request{
		Wish:      engine.Wish{Weight: 1, PID: os.Getpid(), Command: "bench"},
		IsStopped: func() bool { return false },
		Note:      func(engine.Event) {},
	})
}

// create makes a pool of one slot.
func (b *bench) create(name string) error {
	c, err := connect(name, b.cluster.Endpoints()...)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.pool.Create(context.Background(), engine.Config{Size: 1})
}

// raw is a client of etcd.
func (b *bench) raw(endpoints ...string) (*clientv3.Client, error) {
	config := b.cluster.ClientConfig()
	config.Endpoints = endpoints
	return clientv3.New(config)
}
