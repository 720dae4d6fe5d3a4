package main

import (
	"fmt"
	"os"
	"time"
)

// reclaim measures the time from the SIGKILL of a holder and its command to the first output of the
// command that waited behind it.
func (b *bench) reclaim() error {
	took := map[*tool][]float64{}
	list := append([]*tool{poolrun}, b.rivals()...)
	for _, t := range list {
		if t.leaks {
			b.add(figure{Name: t.name + " cannot: what a dead holder holds stays held"})
			continue
		}
		l, err := t.limit(b, 1)
		if err != nil {
			return err
		}
		defer l.end()
		rounds := 50
		if t.polls {
			rounds = 10
		}
		for range b.rounds(rounds) {
			ms, err := b.reclaimOnce(l)
			if err != nil {
				return err
			}
			took[t] = append(took[t], ms)
		}
	}
	for _, t := range list {
		if took[t] != nil {
			b.add(figure{Name: t.name, Tool: t.name, Unit: "ms", Value: spreadOf(took[t])})
		}
	}
	own := spreadOf(took[poolrun])
	b.add(figure{Name: "poolrun, median", Unit: "ms", Value: own}.judged(atMost(5)))
	b.add(figure{Name: "poolrun, worst", Unit: "ms", Value: spreadOf([]float64{own.Max})}.judged(atMost(100)))
	return nil
}

func (b *bench) reclaimOnce(l *limit) (took float64, err error) {
	c, err := b.gather(l, 0)
	if err != nil {
		return 0, err
	}
	cmd := start(l.argv("echo"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	if l.inLine != nil {
		err = await("a waiting command", func() bool { return l.inLine() == 1 })
	}
	if err != nil {
		return 0, err
	}
	time.Sleep(50 * time.Millisecond) // so that it has waited for a while
	began := time.Now()
	c.kill()
	out.(*os.File).SetReadDeadline(began.Add(time.Minute))
	if _, err = out.Read(make([]byte, 1)); err != nil {
		cmd.Process.Kill()
		return 0, fmt.Errorf("%q: %w", cmd.Args, err)
	}
	took = ms(time.Since(began))
	c.disperse()
	return took, cmd.Wait()
}
