// Demo shows machines that share a pool. "make demo-cluster" builds what it needs and runs it.
//
// It starts an etcd, simulates machines, and runs commands on all of them through one pool. The commands
// report when they begin and end, so that the demo can count them without asking poolrun. Whatever it
// starts has ended when it exits, also after an error or a signal.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
)

const (
	pool     = "etcd:///demo"
	slots    = 4
	machines = 4
	commands = 40
	limit    = time.Minute // of everything, once etcd runs
)

func main() {
	poolrun := flag.String("poolrun", "../poolrun", "the poolrun to run; poolrun-etcd is beside it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	if err := demonstrate(ctx, *poolrun); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	fmt.Println("OK: the machines kept to the limit together")
}

func demonstrate(ctx context.Context, poolrun string) (err error) {
	poolrun, err = filepath.Abs(poolrun)
	if err != nil {
		return err
	}
	etcd, err := etcdtest.Start(etcdtest.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, etcd.Close()) }()
	fmt.Println("started an etcd at", etcd.Members[0].Address())
	nodes, turnOff, err := newMachines(poolrun, etcd.Members[0])
	if err != nil {
		return err
	}
	defer turnOff()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %v", limit))
	defer cancel()
	if err := share(ctx, nodes); err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	left, err := etcd.Client().Get(ctx, "", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	fmt.Printf("removed the pool: %d keys are left in etcd\n", left.Count)
	if left.Count != 0 {
		return errors.New("a pool that is removed leaves no keys")
	}
	return nil
}

// share creates a pool, runs the commands in it, and removes it.
func share(ctx context.Context, nodes []*machine) error {
	first, last := nodes[0], nodes[machines-1]
	if _, err := first.poolrun(ctx, "init", pool, "--size", fmt.Sprint(slots)); err != nil {
		return err
	}
	fmt.Printf("created a pool of %d slots on %s\n", slots, first.name)
	ran, err := runAll(ctx, nodes)
	if err != nil {
		return err
	}
	fmt.Println("commands that ran:", ran)
	fmt.Println("commands running at once: at most", ran.most)
	if ran.total() != commands || ran.most != slots {
		return fmt.Errorf("%d commands should have run, %d at once", commands, slots)
	}
	_, err = last.poolrun(ctx, "destroy", pool)
	return err
}
