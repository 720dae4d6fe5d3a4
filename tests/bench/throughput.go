package main

import (
	"fmt"
	"os/exec"
	"strings"
)

// throughput measures many short commands behind xargs -P 8: on pools of three sizes, and behind
// the other tools if they can do the same. flock -s does all that flock does for a command, but has
// no limit, so that 8 commands run at once.
func (b *bench) throughput() error {
	commands := b.scale(2000, 100)
	type variant struct {
		name string
		argv []string
	}
	file := b.lockFile()
	variants := []variant{
		{"flock -s FILE true (all at once)", []string{"flock", "-s", file, "true"}},
		{"flock FILE true (one at a time)", []string{"flock", file, "true"}},
		{"true", []string{"true"}},
	}
	for _, size := range []int{1, 2, 8} {
		name, err := b.pool(size)
		if err != nil {
			return err
		}
		variants = append(variants, variant{fmt.Sprintf("poolrun, a pool of %d", size), []string{b.poolrun, "--pool", name, "--", "true"}})
	}
	rates := make([][]float64, len(variants))
	for range b.rounds(5) {
		for i, v := range variants {
			rate, err := xargs(commands, v.argv)
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], rate)
		}
	}
	for i, v := range variants {
		switch i {
		case 0, 1:
			b.add(v.name, "a second", rates[i], "", nil, nil)
		case len(variants) - 1:
			b.add(v.name, "a second", rates[i], "flock -s", rates[0], nil)
			b.add(v.name, "a second", rates[i], "flock", rates[1], atLeast(0.9))
		default:
			b.add(v.name, "a second", rates[i], "flock", rates[1], nil)
		}
	}
	return b.throughputOfSem(variants[len(variants)-1].argv)
}

func (b *bench) throughputOfSem(poolrun []string) error {
	if _, err := exec.LookPath("sem"); err != nil {
		return nil // startUp has reported it
	}
	var sem, own []float64
	for range b.rounds(5) {
		rate, err := xargs(b.scale(40, 10), []string{"sem", "--fg", "--id", "bench", "-j8", "true"})
		if err != nil {
			return err
		}
		sem = append(sem, rate)
		if rate, err = xargs(b.scale(400, 100), poolrun); err != nil {
			return err
		}
		own = append(own, rate)
	}
	b.add("sem --fg -j8 true", "a second", sem, "", nil, nil)
	b.add("poolrun, a pool of 8", "a second", own, "sem", sem, atLeast(40))
	return nil
}

// xargs runs a command n times through xargs -P 8, and returns how many it ran in a second.
func xargs(n int, argv []string) (rate float64, err error) {
	cmd := exec.Command("xargs", append([]string{"-P", "8", "-n", "1"}, argv...)...)
	cmd.Stdin = strings.NewReader(strings.Repeat("x\n", n))
	took := timed(func() { err = cmd.Run() })
	return float64(n) / took.Seconds(), err
}
