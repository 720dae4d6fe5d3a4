package main

import (
	"fmt"
	"time"
)

// waiting measures what holders and waiting commands cost: memory and CPU time.
func (b *bench) waiting() error {
	for _, t := range append([]*tool{poolrun}, b.rivals()...) {
		n := 1000
		if t.crowd != 0 {
			n = t.crowd
		}
		n = b.scale(n, n/5)
		l, err := t.limit(b, 1)
		if err != nil {
			return err
		}
		c, err := b.gather(l, n, "true")
		if err != nil {
			return err
		}
		each := 0.0
		for _, cmd := range c.waiting {
			each += memory(cmd.Process.Pid, "Pss") / float64(len(c.waiting))
		}
		private := memory(c.holder.Process.Pid, "Private_Clean", "Private_Dirty") * 1024
		settling := 2
		if t == poolrun { // its waiting commands look more rarely when they know how long the line is
			settling = b.scale(60, 2)
		}
		time.Sleep(time.Duration(settling) * time.Second)
		cpu := b.cpuOf(c)
		c.kill() // not the holder's end, after which all of them would run
		for _, cmd := range c.waiting {
			cmd.Process.Kill()
		}
		c.disperse()
		l.end()

		var goals [3]*goal
		if t == poolrun && !b.quick {
			goals = [3]*goal{atMost(100), atMost(1.2), atMost(0.5)}
		}
		b.add(figure{Name: t.name + ": memory of the holder", Tool: t.name, Unit: "kB private", Value: spreadOf([]float64{private})}.judged(goals[0]))
		b.add(figure{Name: fmt.Sprintf("%s: memory of each of %d", t.name, n), Tool: t.name, Line: n, Unit: "MB PSS", Value: spreadOf([]float64{each})}.judged(goals[1]))
		b.add(figure{Name: fmt.Sprintf("%s: CPU of all %d", t.name, n), Tool: t.name, Line: n, Unit: "% of a core", Value: spreadOf([]float64{cpu})}.judged(goals[2]))
	}
	return nil
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
