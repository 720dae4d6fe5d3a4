package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/poolrun/poolrun/pool"
	"golang.org/x/sys/unix"
)

// growth measures whether many other participants make a pool slower. The others are in this
// process, each with an open pool of its own, as another process has it.
func (b *bench) growth() error {
	// Each open pool has up to four descriptors.
	limit := unix.Rlimit{}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	for _, measure := range []func() error{b.acquireAmongOthers, b.comeToFullPool, b.joinLongLine} {
		if err := measure(); err != nil {
			return err
		}
	}
	return nil
}

// acquireAmongOthers measures the library.
func (b *bench) acquireAmongOthers() error {
	var pools []*pool.Pool
	counts := []int{0, 100, 1000, 4000}
	for _, others := range counts {
		name, err := b.pool(pool.MaxSlots)
		if err != nil {
			return err
		}
		leave, err := hold(name, others)
		if err != nil {
			return err
		}
		defer leave()
		p, err := pool.Open(name)
		if err != nil {
			return err
		}
		defer p.Close()
		pools = append(pools, p)
	}
	took := make([][]float64, len(counts))
	for range b.rounds(200) {
		for i, p := range pools {
			const times = 100
			var failed error
			d := timed(func() {
				for range times {
					lease, err := p.TryAcquire()
					if err == nil {
						err = lease.Release()
					}
					if err != nil {
						failed = err
					}
				}
			})
			if failed != nil {
				return failed
			}
			took[i] = append(took[i], ms(d)*1000/times)
		}
	}
	for i, others := range counts {
		f := figure{Name: fmt.Sprintf("library: acquire and release, %d others", others), Line: others, Unit: "us", Value: spreadOf(took[i])}
		if i > 0 {
			f.against("no others", took[i], took[0])
		}
		if others == 1000 {
			f.judge(atMost(2))
		}
		b.add(f)
	}
	b.add(figure{Name: "library: acquire and release", Unit: "us", Value: spreadOf(took[0])}.judged(atMost(3)))
	return nil
}

// comeToFullPool measures runs that find no slot.
func (b *bench) comeToFullPool() error {
	sizes := []int{4, b.scale(pool.MaxSlots, 512)}
	var runs []variant
	for _, size := range sizes {
		name, err := b.pool(size)
		if err != nil {
			return err
		}
		leave, err := hold(name, size)
		if err != nil {
			return err
		}
		defer leave()
		runs = append(runs, variant{argv: []string{b.poolrun, "-n", "-q", "-E", "0", "--pool", name, "true"}})
	}
	return b.compare("no slot free in a pool of %d", sizes, runs, 200, atMost(1.2))
}

// joinLongLine measures runs that join a line and give up a millisecond later.
func (b *bench) joinLongLine() error {
	lengths := []int{1, b.scale(4000, 500)}
	var runs []variant
	for _, length := range lengths {
		name, err := b.pool(1)
		if err != nil {
			return err
		}
		leave, err := hold(name, length)
		if err != nil {
			return err
		}
		defer leave()
		if err := await("the line", func() bool { return b.inLine(name) == length-1 }); err != nil {
			return err
		}
		runs = append(runs, variant{argv: []string{b.poolrun, "-q", "-E", "0", "--timeout", "1ms", "--pool", name, "true"}})
	}
	return b.compare("to join as number %d and give up", lengths, runs, 200, atMost(1.2))
}

// compare compares the second of two commands with the first.
func (b *bench) compare(name string, numbers []int, list []variant, rounds int, g *goal) error {
	runs, err := b.alternate(rounds, list)
	if err != nil {
		return err
	}
	wall := func(u usage) float64 { return ms(u.wall) }
	for i := range list {
		f := figure{Name: fmt.Sprintf(name, numbers[i]), Line: numbers[i], Unit: "ms", Value: spreadOf(values(runs[i], wall))}
		if i > 0 {
			f.against(fmt.Sprint("with ", numbers[0]), values(runs[i], wall), values(runs[0], wall))
			f.judge(g)
		}
		b.add(f)
	}
	return nil
}

// hold lets so many others acquire a slot, or wait for one.
func hold(name string, others int) (leave func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	var open []*pool.Pool
	leave = func() {
		cancel()
		group.Wait()
		for _, p := range open {
			p.Close() // which gives back what it holds
		}
	}
	for range others {
		p, err := pool.Open(name)
		if err != nil {
			leave()
			return nil, err
		}
		open = append(open, p)
		if _, err := p.TryAcquire(); err == nil {
			continue
		}
		group.Go(func() { p.Acquire(ctx) })
	}
	time.Sleep(10 * time.Millisecond)
	return leave, nil
}
