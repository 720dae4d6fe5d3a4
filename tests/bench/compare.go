package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// compareBuilds compares two builds of poolrun in what users notice, in pairs, and returns an error if
// the new one is worse anywhere. Worse means by more than 5 %, and by more than chance explains: even
// the lower quartile of the ratios is above 1.05.
func (b *bench) compareBuilds(old string) error {
	old, err := filepath.Abs(old)
	if err != nil {
		return err
	}
	if old == b.poolrun {
		return fmt.Errorf("both builds are %s", old)
	}
	const worse = 1.05
	builds := [2]*bench{{poolrun: old}, {poolrun: b.poolrun}}
	for _, build := range builds {
		build.missing = b.missing
		if build.dir, err = os.MkdirTemp(b.dir, ""); err != nil {
			return err
		}
	}
	defer func() {
		for _, c := range append(builds[0].holders, builds[1].holders...) {
			c.disperse()
		}
	}()
	failed := false
	for _, c := range []struct {
		name    string
		prepare func(*bench) (func() (time.Duration, error), error)
	}{
		{"whole run", pairedRun()},
		{"--no-fork", pairedRun("-F")},
		{"a run that waits for 1 ms", pairedWait},
		{"hand-over in a line of 100", pairedHandOver},
		{"xargs -P 8 on a pool of 4", pairedThroughput},
	} {
		var run [2]func() (time.Duration, error)
		for i, build := range builds {
			if run[i], err = c.prepare(build); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		if _, err := run[0](); err != nil {
			fmt.Printf("%-28s the old one cannot\n", c.name)
			continue
		}
		var took [2][]float64
		for began := time.Now(); time.Since(began) < 20*time.Second; {
			for i := range run {
				d, err := run[i]()
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				took[i] = append(took[i], ms(d))
			}
		}
		ratio := spreadOf(ratios(took[1], took[0]))
		verdict := "ok"
		if ratio.Median > worse && ratio.Low > worse {
			verdict, failed = "WORSE", true
		}
		fmt.Printf("%-28s %s x the old one (%s to %s, %d pairs): %s\n", c.name,
			number(ratio.Median), number(ratio.Low), number(ratio.High), ratio.N, verdict)
	}
	if failed {
		return fmt.Errorf("%s is slower than %s", b.poolrun, old)
	}
	return nil
}

// pairedRun is a run of true with these flags.
func pairedRun(flags ...string) func(*bench) (func() (time.Duration, error), error) {
	return func(b *bench) (func() (time.Duration, error), error) {
		name, err := b.pool(1)
		argv := append(append([]string{b.poolrun}, flags...), "--pool", name, "true")
		return func() (time.Duration, error) {
			u, err := run(argv...)
			return u.wall, err
		}, err
	}
}

// pairedWait is a run that finds no slot. It needs the Go runtime.
func pairedWait(b *bench) (func() (time.Duration, error), error) {
	l, err := b.poolLimit(1)
	if err != nil {
		return nil, err
	}
	c, err := b.gather(l, 0)
	if err != nil {
		return nil, err
	}
	b.holders = append(b.holders, c)
	argv := append([]string{b.poolrun, "-q", "-E", "0", "--timeout", "1ms"}, l.argv("true")[1:]...)
	return func() (time.Duration, error) {
		u, err := run(argv...)
		return u.wall, err
	}, nil
}

func pairedHandOver(b *bench) (func() (time.Duration, error), error) {
	l, err := b.poolLimit(1)
	return func() (time.Duration, error) {
		c, err := b.gather(l, 100, "true")
		if err != nil {
			return 0, err
		}
		return timed(c.disperse), nil
	}, err
}

func pairedThroughput(b *bench) (func() (time.Duration, error), error) {
	l, err := b.poolLimit(4)
	return func() (took time.Duration, err error) {
		took = timed(func() { _, err = xargs(50, l.argv("true")) })
		return took, err
	}, err
}
