package main

import (
	"fmt"
	"os/exec"
	"strings"
)

// throughput measures many short commands behind xargs -P 8, on four slots. What can have only one
// runs one at a time. flock -s does all that flock does for a command, but has no limit.
func (b *bench) throughput() error {
	commands := b.scale(500, 100)
	list := append([]*tool{flock, poolrun}, b.rivals()...)
	rates := map[string][]float64{}
	measure := func(name string, n int, argv []string) error {
		rate, err := xargs(n, argv)
		rates[name] = append(rates[name], rate)
		return err
	}
	limits := map[*tool]*limit{}
	defer func() {
		for _, l := range limits {
			l.end()
		}
	}()
	for _, t := range list {
		l, err := t.limit(b, 4)
		if l == nil && err == nil && t == flock {
			l, err = t.limit(b, 1)
		}
		if err != nil {
			return err
		}
		if l != nil {
			limits[t] = l
		}
	}
	shared := append([]string{"flock", "-s"}, limits[flock].prefix[1:]...)
	for range b.rounds(5) {
		if err := measure("flock -s", commands, append(shared, "true")); err != nil {
			return err
		}
		if err := measure("true", commands, []string{"true"}); err != nil {
			return err
		}
		for _, t := range tools {
			n := commands
			if t.heavy {
				n = b.scale(40, 10)
			}
			if l := limits[t]; l != nil {
				if err := measure(t.name, n, l.argv("true")); err != nil {
					return err
				}
			}
		}
	}
	for _, name := range []string{"flock", "true", "flock -s"} {
		b.add(figure{Name: name, Tool: name, Unit: "a second", Value: spreadOf(rates[name])})
	}
	for _, t := range list[1:] {
		if limits[t] == nil {
			b.add(figure{Name: t.name + " cannot have 4 slots"})
		}
		if t == flock || limits[t] == nil {
			continue
		}
		f := figure{Name: t.name + ", 4 slots", Tool: t.name, Unit: "a second", Value: spreadOf(rates[t.name])}
		f.against("flock", rates[t.name], rates["flock"])
		if t == poolrun {
			f.judge(atLeast(1.1))
		}
		b.add(f)
	}
	f := figure{Name: "poolrun, 4 slots", Unit: "a second", Value: spreadOf(rates["poolrun"])}
	f.against("flock -s", rates["poolrun"], rates["flock -s"])
	b.add(f)
	return nil
}

// xargs runs a command n times through xargs -P 8, and returns how many it ran in a second.
func xargs(n int, argv []string) (rate float64, err error) {
	cmd := exec.Command("xargs", append([]string{"-P", "8", "-n", "1"}, argv...)...)
	cmd.Stdin = strings.NewReader(strings.Repeat("x\n", n))
	took := timed(func() { err = cmd.Run() })
	if err != nil {
		err = fmt.Errorf("%q: %w", argv, err)
	}
	return float64(n) / took.Seconds(), err
}
