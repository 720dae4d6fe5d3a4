package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// jobs measures what a job's slot costs in a build: 1,000 jobs of make with a pool of 8 as its
// jobserver, against make's own with -j8.
func (b *bench) jobs() error {
	for _, name := range []string{os.Getenv("MAKE44"), "make"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if err := b.jobsOf(path); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) jobsOf(path string) error {
	makefile := filepath.Join(b.dir, "jobs.mk")
	rules := fmt.Sprintf("T := $(shell seq %d)\nall: $(T)\n$(T): ; @/bin/true\n.PHONY: all $(T)\n", b.scale(1000, 200))
	if err := os.WriteFile(makefile, []byte(rules), 0o600); err != nil {
		return err
	}
	name, err := b.pool(8)
	if err != nil {
		return err
	}
	variants := map[string][]string{
		"make -j8": {path, "-s", "-j8", "-f", makefile},
		"poolrun":  {b.poolrun, "-p", name, "--jobserver", "--", path, "-s", "-f", makefile},
	}
	took := map[string][]float64{}
	for range b.rounds(11) {
		for _, variant := range []string{"make -j8", "poolrun"} {
			argv := variants[variant]
			duration := timed(func() { err = exec.Command(argv[0], argv[1:]...).Run() })
			if err != nil {
				return fmt.Errorf("%q: %w", argv, err)
			}
			took[variant] = append(took[variant], duration.Seconds())
		}
	}
	f := figure{Name: fmt.Sprintf("%d jobs of %s", b.scale(1000, 200), path), Tool: "poolrun", Unit: "s", Value: spreadOf(took["poolrun"])}
	f.against("make -j8", took["poolrun"], took["make -j8"])
	b.add(f.judged(atMost(1.1)))
	return nil
}
