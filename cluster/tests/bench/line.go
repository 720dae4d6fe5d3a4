package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// lineOf200 compares how long it takes until 200 waiters have had the only slot, one after another, with the
// mutex of etcd's client; without and with 4 ms of round trip.
func (b *bench) lineOf200() error {
	proxy, err := etcdtest.NewProxy(b.cluster.Members[0].Address())
	if err != nil {
		return err
	}
	defer proxy.Close()
	for i, delay := range []time.Duration{0, 4 * time.Millisecond} {
		proxy.SetRoundTrip(delay)
		name := fmt.Sprintf("line%d", i)
		if err := b.create(name); err != nil {
			return err
		}
		fmt.Printf("  with a round trip of %v\n", delay)
		if err := b.compare("pool: 200 hand-overs", "mutex: 200 hand-overs", max(b.rounds/6, 1),
			func() (time.Duration, error) { return b.poolLine(name, 200, "http://"+proxy.Address(), nil) },
			func() (time.Duration, error) { return b.mutexLine(200, "http://"+proxy.Address()) }); err != nil {
			return err
		}
	}
	return nil
}

// poolLine measures from the end of the first holder to the end of the last one. atRest, unless nil, is called
// while all others wait.
func (b *bench) poolLine(name string, n int, endpoint string, atRest func()) (time.Duration, error) {
	first, err := connect(name, endpoint)
	if err != nil {
		return 0, err
	}
	defer first.Close()
	ctx, cancel := context.WithTimeout(context.Background(), lineLimit)
	defer cancel()
	h, err := first.acquire(ctx)
	if err != nil {
		return 0, err
	}
	errs := make(chan error, n)
	var all sync.WaitGroup
	for range n {
		c, err := connect(name, endpoint)
		if err != nil {
			return 0, err
		}
		all.Go(func() {
			defer c.Close()
			h, err := c.acquire(ctx)
			if err == nil {
				err = h.Release(ctx)
			}
			errs <- err
		})
	}
	for {
		s, err := first.pool.Status(ctx)
		if err != nil {
			return 0, err
		}
		if len(s.Waiters) == n {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if atRest != nil {
		atRest()
	}
	began := time.Now()
	if err := h.Release(ctx); err != nil {
		return 0, err
	}
	for range n {
		if err := <-errs; err != nil {
			return 0, err
		}
	}
	took := time.Since(began)
	all.Wait()
	return took, nil
}

// lineLimit is for not hanging.
const lineLimit = 10 * time.Minute

// mutexLine is the same with mutexes, each on a session and a connection of its own.
func (b *bench) mutexLine(n int, endpoint string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lineLimit)
	defer cancel()
	const prefix = "/mutex"
	lock := func(ready func()) error {
		raw, err := b.raw(endpoint)
		if err != nil {
			return err
		}
		defer raw.Close()
		session, err := concurrency.NewSession(raw)
		if err != nil {
			return err
		}
		defer session.Close()
		m := concurrency.NewMutex(session, prefix)
		if err := m.Lock(ctx); err != nil {
			return err
		}
		if ready != nil {
			ready()
		}
		return m.Unlock(ctx)
	}
	held, release := make(chan struct{}), make(chan struct{})
	errs := make(chan error, n+1)
	go func() { errs <- lock(func() { close(held); <-release }) }()
	<-held
	for range n {
		go func() { errs <- lock(nil) }()
	}
	for {
		answer, err := b.cluster.Client().Get(ctx, prefix+"/", countOnly...)
		if err != nil {
			return 0, err
		}
		if answer.Count == int64(n)+1 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	began := time.Now()
	close(release)
	for range n + 1 {
		if err := <-errs; err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// manyWaiters measures what many waiters cost the server.
func (b *bench) manyWaiters() error {
	for _, n := range []int{10, 100, 1000} {
		name := fmt.Sprintf("many%d", n)
		if err := b.create(name); err != nil {
			return err
		}
		pid := b.cluster.Members[0].PID()
		before := memoryOf(pid)
		var idle, began float64
		var memory int
		took, err := b.poolLine(name, n, b.cluster.Endpoints()[0], func() {
			time.Sleep(settle)
			start := cpuOf(pid)
			time.Sleep(idleTime)
			idle = (cpuOf(pid) - start) / idleTime.Seconds()
			memory = memoryOf(pid) - before
			began = cpuOf(pid)
		})
		if err != nil {
			return err
		}
		fmt.Printf("  %4d waiters: idle %4.1f %% of a CPU, %5d KB of server memory each; hand-over %6.2f ms, %5.2f ms of server CPU\n",
			n, 100*idle, memory/1024/n, ms(took/time.Duration(n)), 1000*(cpuOf(pid)-began)/float64(n))
	}
	return nil
}

const (
	settle   = 2 * time.Second
	idleTime = 10 * time.Second
)

// cpuOf is the CPU time of a process in seconds: proc_pid_stat(5).
func cpuOf(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	const ticks = 100 // USER_HZ
	return (user + system) / ticks
}

// memoryOf is the resident memory of a process in bytes: proc_pid_statm(5).
func memoryOf(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return pages * os.Getpagesize()
}

var countOnly = []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithCountOnly()}
