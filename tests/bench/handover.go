package main

import (
	"fmt"
	"time"
)

// handOver measures how fast a line moves: many commands wait for one slot, which becomes free. The
// tools that poll have a short line, because each of their hand-overs takes long.
func (b *bench) handOver() error {
	for _, line := range []int{10, 50, 200, 500} {
		if b.quick && line > 200 {
			continue
		}
		var g *goal
		if line == 200 {
			g = atMost(0.9)
		}
		if err := b.handOverIn(line, g, b.rivals(), func(t *tool) bool { return t.polls }); err != nil {
			return err
		}
	}
	if b.quick {
		return nil
	}
	return b.handOverIn(10, nil, b.rivals(), func(t *tool) bool { return !t.polls && t != flock })
}

func (b *bench) handOverIn(line int, g *goal, rivals []*tool, without func(*tool) bool) error {
	list := []*tool{flock, poolrun}
	rounds := max(3, min(10, 2000/line))
	for _, t := range rivals {
		if t != flock && !without(t) {
			list = append(list, t)
		}
		if t.polls && !without(t) {
			rounds = 1
		}
	}
	took := make([][]float64, len(list))
	limits := make([]*limit, len(list))
	for i, t := range list {
		var err error
		if limits[i], err = t.limit(b, 1); err != nil {
			return err
		}
		defer limits[i].end()
	}
	for range b.rounds(rounds) {
		for i := range list {
			c, err := b.gather(limits[i], line, "true")
			if err != nil {
				return err
			}
			took[i] = append(took[i], ms(timed(c.disperse))/float64(line))
		}
	}
	for i, t := range list {
		f := figure{Name: fmt.Sprintf("%s, %d in line", t.name, line), Tool: t.name, Line: line, Unit: "ms each", Value: spreadOf(took[i])}
		if i > 0 {
			f.against("flock", took[i], took[0])
		}
		if t == poolrun && rounds > 1 {
			f.judge(g)
		}
		b.add(f)
	}
	return nil
}

func timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}
