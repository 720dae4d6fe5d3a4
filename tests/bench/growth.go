package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/poolrun/poolrun/pool"
	"golang.org/x/sys/unix"
)

// growth measures whether many other participants make a pool slower.
func (b *bench) growth() error {
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
	for _, count := range counts {
		name, err := b.pool(pool.MaxSlots)
		if err != nil {
			return err
		}
		leave, err := others(name, count, 0)
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
	for i, count := range counts {
		f := figure{Name: fmt.Sprintf("library: acquire and release, %d others", count), Line: count, Unit: "us", Value: spreadOf(took[i])}
		if i > 0 {
			f.against("no others", took[i], took[0])
		}
		if count == 1000 {
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
		leave, err := others(name, size, 0)
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
		leave, err := others(name, 1, length-1)
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

// others starts a process in which so many others hold a slot, each with an open pool of its own, as
// other processes have it, or wait, in one open pool. It is not this process, because all of their
// descriptors would be copied for each command that is run.
func others(name string, holders, waiters int) (leave func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := start([]string{self, "-others", name, fmt.Sprint(holders), fmt.Sprint(waiters)})
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	leave = func() {
		stdin.Close()
		cmd.Wait()
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		leave()
		return nil, fmt.Errorf("%q: %w", cmd.Args, err)
	}
	return leave, nil
}

// beOthers is that process. It ends with its standard input.
func beOthers(name string, args []string) error {
	holders, err1 := strconv.Atoi(args[0])
	waiters, err2 := strconv.Atoi(args[1])
	limit := unix.Rlimit{} // each open pool has up to four descriptors
	err3 := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	limit.Cur = limit.Max
	if err := cmp.Or(err1, err2, err3, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)); err != nil {
		return err
	}
	for range holders {
		p, err := pool.Open(name)
		if err == nil {
			_, err = p.TryAcquire()
		}
		if err != nil {
			return err
		}
	}
	p, err := pool.Open(name)
	if err != nil {
		return err
	}
	for range waiters {
		go p.Acquire(context.Background())
	}
	fmt.Println()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err // the kernel gives back what they hold
}
