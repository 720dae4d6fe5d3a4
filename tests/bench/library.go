package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// library runs the Go benchmarks of package pool in whole rounds, so that the benchmarks alternate.
func (b *bench) library() error {
	binary := filepath.Join(b.dir, "pool.test")
	build := exec.Command("go", "test", "-c", "-o", binary, "./pool")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	var names []string
	times := map[string][]float64{}
	for range b.rounds(10) {
		out, err := exec.Command(binary, "-test.run", "^$", "-test.bench", ".", "-test.benchtime", "2000x").Output()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		lines := bufio.NewScanner(bytes.NewReader(out))
		for lines.Scan() {
			// BenchmarkX/y-2   2000   1234 ns/op
			fields := strings.Fields(lines.Text())
			if len(fields) < 4 || fields[3] != "ns/op" {
				continue
			}
			name := strings.TrimPrefix(fields[0][:strings.LastIndexByte(fields[0], '-')], "Benchmark")
			if times[name] == nil {
				names = append(names, name)
			}
			ns, _ := strconv.ParseFloat(fields[2], 64)
			times[name] = append(times[name], ns/1000)
		}
	}
	const alone, crowded = "AcquireRelease/others=0", "AcquireRelease/others=100"
	b.add(alone, "us", times[alone], "", nil, atMost(3))
	for _, name := range names {
		switch name {
		case alone:
		case crowded:
			b.add(name, "us", times[name], "alone", times[alone], atMost(2))
		default:
			b.add(name, "us", times[name], "alone", times[alone], nil)
		}
	}
	return nil
}
