package main

import (
	"fmt"
	"time"
)

// waiting measures the memory and CPU time of waiting commands, and whether joining a long line
// takes longer than joining an empty one.
func (b *bench) waiting() error {
	for _, n := range []int{100, b.scale(1000, 200)} {
		var goals [3]*goal
		if n > 100 {
			goals = [3]*goal{atMost(1.2), atMost(1), atMost(2)}
		}
		name, err := b.pool(1)
		if err != nil {
			return err
		}
		c, err := b.gatherPool(name, n-1, "true")
		if err != nil {
			return err
		}
		memory, cpu := memoryOf(c), b.cpuOf(c)
		here, there, err := b.join(name)
		c.disperse()
		if err != nil {
			return err
		}
		c, err = gatherFlock(b.lockFile(), n-1, "true")
		if err != nil {
			return err
		}
		memoryOfFlock := memoryOf(c)
		c.disperse()

		b.add(fmt.Sprintf("memory of each of %d", n), "MB PSS", []float64{memory}, "flock", []float64{memoryOfFlock}, nil)
		b.add(fmt.Sprintf("memory of each of %d", n), "MB PSS", []float64{memory}, "", nil, goals[0])
		b.add(fmt.Sprintf("CPU of all %d", n), "% of a core", []float64{cpu}, "", nil, goals[1])
		b.add(fmt.Sprintf("to join as number %d and give up", n), "ms", there, "number 1", here, goals[2])
	}
	return nil
}

// memoryOf returns the memory of each waiting process, in MB.
func memoryOf(c *crowd) (each float64) {
	for _, cmd := range c.waiting {
		each += pss(cmd.Process.Pid) / float64(len(c.waiting))
	}
	return each
}

// cpuOf returns the CPU time of all waiting processes together, in percent of a core.
func (b *bench) cpuOf(c *crowd) float64 {
	sum := func() (total time.Duration) {
		for _, cmd := range c.waiting {
			total += cpuTime(cmd.Process.Pid)
		}
		return total
	}
	before, began := sum(), time.Now()
	time.Sleep(time.Duration(b.scale(10, 2)) * time.Second)
	return float64(sum()-before) / float64(time.Since(began)) * 100
}

// join measures runs that join a line and give up a millisecond later: behind all waiters of the
// pool there, and as the only waiter of another pool.
func (b *bench) join(there string) (alone, behind []float64, err error) {
	here, err := b.pool(1)
	if err != nil {
		return nil, nil, err
	}
	c, err := b.gatherPool(here, 0)
	if err != nil {
		return nil, nil, err
	}
	defer c.disperse()
	for range b.rounds(200) {
		for _, v := range []struct {
			pool string
			list *[]float64
		}{{here, &alone}, {there, &behind}} {
			u, err := run(b.poolrun, "--pool", v.pool, "-q", "--timeout", "1ms", "-E", "0", "--", "true")
			if err != nil {
				return nil, nil, err
			}
			*v.list = append(*v.list, ms(u.wall)-1)
		}
	}
	return alone, behind, nil
}
