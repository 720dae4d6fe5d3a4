package main

import "time"

// handOver measures how fast a line moves: many commands wait for one slot, which becomes free.
func (b *bench) handOver() error {
	const line = 200
	name, err := b.pool(1)
	if err != nil {
		return err
	}
	file := b.lockFile()
	var own, flock []float64
	for range b.rounds(10) {
		c, err := gatherFlock(file, line, "true")
		if err != nil {
			return err
		}
		flock = append(flock, ms(timed(c.disperse))/line)
		if c, err = b.gatherPool(name, line, "true"); err != nil {
			return err
		}
		own = append(own, ms(timed(c.disperse))/line)
	}
	b.add("flock FILE true", "ms each", flock, "", nil, nil)
	b.add("poolrun --pool /b -- true", "ms each", own, "flock", flock, atMost(1.0))
	return nil
}

func timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}
