package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// startUp measures the cost of a run when the slot is free: the command alone, behind flock, and
// behind poolrun.
func (b *bench) startUp() error {
	name, err := b.pool(1)
	if err != nil {
		return err
	}
	variants := []struct {
		name string
		argv []string
	}{
		{"flock FILE true", []string{"flock", b.lockFile(), "true"}},
		{"true", []string{"true"}},
		{"poolrun --pool /b -- true", []string{b.poolrun, "--pool", name, "--", "true"}},
	}
	metrics := []struct {
		name, unit string
		of         func(usage) float64
		goal       *goal
	}{
		{"wall", "ms", func(u usage) float64 { return ms(u.wall) }, atMost(1.5)},
		{"CPU", "ms", func(u usage) float64 { return ms(u.cpu) }, atMost(1.7)},
		{"page faults", "", func(u usage) float64 { return float64(u.faults) }, nil},
		{"context switches", "", func(u usage) float64 { return float64(u.switches) }, nil},
	}
	runs := make([][]usage, len(variants))
	for range b.rounds(1000) {
		for i, v := range variants {
			u, err := run(v.argv...)
			if err != nil {
				return err
			}
			runs[i] = append(runs[i], u)
		}
	}
	values := func(i int, of func(usage) float64) (list []float64) {
		for _, u := range runs[i] {
			list = append(list, of(u))
		}
		return list
	}
	for _, m := range metrics {
		for i, v := range variants {
			if i == 0 {
				b.add(m.name+": "+v.name, m.unit, values(i, m.of), "", nil, nil)
				continue
			}
			g := m.goal
			if i < 2 {
				g = nil
			}
			b.add(m.name+": "+v.name, m.unit, values(i, m.of), "flock", values(0, m.of), g)
		}
	}
	for _, v := range variants {
		calls, err := b.systemCalls(v.argv)
		if err != nil {
			return err
		}
		if calls > 0 {
			b.add("system calls: "+v.name, "", []float64{calls}, "", nil, nil)
		}
	}
	return b.startUpOfSem(variants[2].argv)
}

func (b *bench) startUpOfSem(poolrun []string) error {
	if _, err := exec.LookPath("sem"); err != nil {
		fmt.Fprintln(os.Stderr, "no GNU sem here (Debian package parallel): not compared")
		return nil
	}
	os.Setenv("PARALLEL_HOME", b.dir)
	var sem, own []float64
	for range b.rounds(30) {
		u, err := run("sem", "--fg", "--id", "bench", "-j1", "true")
		if err != nil {
			return err
		}
		sem = append(sem, ms(u.wall))
		if u, err = run(poolrun...); err != nil {
			return err
		}
		own = append(own, ms(u.wall))
	}
	b.add("wall: sem --fg -j1 true", "ms", sem, "poolrun", own, atLeast(40))
	return nil
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
