package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// startUp measures the cost of a whole run when a slot is free: by each tool, and of the command
// alone.
func (b *bench) startUp() error {
	variants := []variant{{tool: flock}, {name: "true", argv: []string{"true"}}, {tool: poolrun}}
	var heavy []variant
	for _, t := range b.rivals() {
		switch {
		case t == flock:
		case t.heavy:
			heavy = append(heavy, variant{tool: t})
		default:
			variants = append(variants, variant{tool: t})
		}
	}
	defer closeAll(variants)
	defer closeAll(heavy)
	for _, list := range [][]variant{variants, heavy} {
		if err := b.prepare(list, "true"); err != nil {
			return err
		}
	}
	runs, err := b.alternate(1000, variants)
	if err != nil {
		return err
	}
	metrics := []struct {
		name, unit string
		of         func(usage) float64
		goal       *goal
	}{
		{"wall", "ms", func(u usage) float64 { return ms(u.wall) }, atMost(0.65)},
		{"CPU", "ms", func(u usage) float64 { return ms(u.cpu) }, nil},
		{"page faults", "", func(u usage) float64 { return float64(u.faults) }, nil},
		{"context switches", "", func(u usage) float64 { return float64(u.switches) }, nil},
	}
	for _, m := range metrics {
		base := values(runs[0], m.of)
		for i, v := range variants {
			f := figure{Name: m.name + ": " + v.name, Tool: v.name, Unit: m.unit, Value: spreadOf(values(runs[i], m.of))}
			if i > 0 {
				f.against("flock", values(runs[i], m.of), base)
			}
			if v.tool == poolrun {
				f.judge(m.goal)
			}
			b.add(f)
		}
	}
	wall := metrics[0].of
	own := values(runs[2], wall)
	for i, v := range variants[3:] {
		f := figure{Name: "wall: poolrun", Unit: "ms", Value: spreadOf(own)}
		f.against(v.name, own, values(runs[3+i], wall))
		f.judge(atMost(1))
		b.add(f)
	}
	for _, v := range variants {
		calls, err := b.systemCalls(v.argv)
		if err != nil {
			return err
		}
		if calls > 0 {
			b.add(figure{Name: "system calls: " + v.name, Value: spreadOf([]float64{calls})})
		}
	}
	if len(heavy) == 0 {
		return nil
	}
	pair := append(heavy, variants[2])
	if runs, err = b.alternate(30, pair); err != nil {
		return err
	}
	for i, v := range heavy {
		f := figure{Name: "wall: " + v.name, Tool: v.name, Unit: "ms", Value: spreadOf(values(runs[i], wall))}
		f.against("poolrun", values(runs[i], wall), values(runs[len(heavy)], wall))
		f.judge(atLeast(40))
		b.add(f)
	}
	return nil
}

// noFork measures tools that become the command.
func (b *bench) noFork() error {
	variants := []variant{
		{tool: &tool{name: "flock -F", limit: fileLimit("flock", "-F")}},
		{name: "true", argv: []string{"true"}},
		{tool: &tool{name: "poolrun -F", limit: func(b *bench, slots int) (*limit, error) {
			l, err := b.poolLimit(slots)
			l.prefix = append([]string{b.poolrun, "-F"}, l.prefix[1:]...)
			return l, err
		}}},
	}
	for _, t := range b.rivals() {
		if t == setlock {
			variants = append(variants, variant{tool: t})
		}
	}
	defer closeAll(variants)
	if err := b.prepare(variants, "true"); err != nil {
		return err
	}
	runs, err := b.alternate(1000, variants)
	if err != nil {
		return err
	}
	wall := func(u usage) float64 { return ms(u.wall) }
	for i, v := range variants {
		f := figure{Name: v.name, Tool: v.name, Unit: "ms", Value: spreadOf(values(runs[i], wall))}
		if i > 0 {
			f.against("flock -F", values(runs[i], wall), values(runs[0], wall))
		}
		if i == 2 {
			f.judge(atMost(0.6))
		}
		b.add(f)
	}
	return nil
}

// A variant is one of the commands that are compared in a section.
type variant struct {
	tool  *tool
	name  string // by default the tool's
	limit *limit
	argv  []string
}

// prepare makes a limit of one for each variant, and its command line.
func (b *bench) prepare(variants []variant, command ...string) (err error) {
	for i := range variants {
		v := &variants[i]
		if v.tool == nil {
			continue
		}
		v.name = v.tool.name
		if v.limit, err = v.tool.limit(b, 1); err != nil {
			return err
		}
		v.argv = v.limit.argv(command...)
	}
	return nil
}

func closeAll(variants []variant) {
	for _, v := range variants {
		if v.limit != nil {
			v.limit.end()
		}
	}
}

// alternate runs each variant once a round.
func (b *bench) alternate(rounds int, variants []variant) (runs [][]usage, err error) {
	runs = make([][]usage, len(variants))
	for range b.rounds(rounds) {
		for i, v := range variants {
			u, err := run(v.argv...)
			if err != nil {
				return nil, err
			}
			runs[i] = append(runs[i], u)
		}
	}
	return runs, nil
}

func values(runs []usage, of func(usage) float64) (list []float64) {
	for _, u := range runs {
		list = append(list, of(u))
	}
	return list
}

// systemCalls counts the system calls of a command and its children. Without strace(1) it returns
// 0.
func (b *bench) systemCalls(argv []string) (float64, error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return 0, nil
	}
	summary := filepath.Join(b.dir, "strace")
	if _, err := run(append([]string{"strace", "-f", "-c", "-o", summary}, argv...)...); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(summary)
	if err != nil {
		return 0, err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var percent, seconds, each, calls float64
	_, err = fmt.Sscan(lines[len(lines)-1], &percent, &seconds, &each, &calls)
	return calls, err
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
