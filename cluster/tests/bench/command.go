package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// wholeCommand compares runs of true by poolrun and by etcdctl lock.
func (b *bench) wholeCommand() error {
	if err := b.create("command"); err != nil {
		return err
	}
	endpoints := strings.Join(b.cluster.Endpoints(), ",")
	run := func(args ...string) func() error {
		return func() error {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Env = append(os.Environ(), "ETCDCTL_ENDPOINTS="+endpoints)
			cmd.Stderr = os.Stderr
			return cmd.Run()
		}
	}
	return b.compare("poolrun --pool etcd:///command -- true", "etcdctl lock command true", b.rounds,
		timed(run(b.poolrun, "--pool", "etcd:///command", "--", "true")), timed(run(b.etcdctl, "lock", "command", "true")))
}

// takeAndRelease measures an uncontended take, and a release, in units of a put.
func (b *bench) takeAndRelease() error {
	if err := b.create("take"); err != nil {
		return err
	}
	c, err := connect("take", b.cluster.Endpoints()...)
	if err != nil {
		return err
	}
	defer c.Close()
	raw, err := b.raw(b.cluster.Endpoints()...)
	if err != nil {
		return err
	}
	defer raw.Close()
	ctx := context.Background()
	put := timed(func() error { _, err := raw.Put(ctx, "bench", "x", clientv3.WithLease(0)); return err })
	var released time.Duration
	take := func() (time.Duration, error) {
		began := time.Now()
		h, err := c.acquire(ctx)
		if err != nil {
			return 0, err
		}
		taken := time.Since(began)
		began = time.Now()
		err = h.Release(ctx)
		released = time.Since(began)
		return taken, err
	}
	for range 20 { // warm
		if _, err := take(); err != nil {
			return err
		}
		if _, err := put(); err != nil {
			return err
		}
	}
	if err := b.compare("take", "put", 20*b.rounds, take, put); err != nil {
		return err
	}
	return b.compare("release", "put", 20*b.rounds, func() (time.Duration, error) {
		_, err := take()
		return released, err
	}, put)
}
