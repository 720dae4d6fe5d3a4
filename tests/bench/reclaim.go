package main

import (
	"os/exec"
	"syscall"
	"time"
)

// reclaim measures the time from the SIGKILL of a holder and its command to the first output of the
// command that waited behind it.
func (b *bench) reclaim() error {
	name, err := b.pool(1)
	if err != nil {
		return err
	}
	file := b.lockFile()
	var own, flock []float64
	for range b.rounds(200) {
		c, err := gatherFlock(file, 0)
		if err != nil {
			return err
		}
		took, err := kill(c, []string{"flock", file, "echo"}, func() bool { _, waiting := locksOf(file); return waiting == 1 })
		if err != nil {
			return err
		}
		flock = append(flock, took)
		if c, err = b.gatherPool(name, 0); err != nil {
			return err
		}
		took, err = kill(c, []string{b.poolrun, "--pool", name, "--", "echo"}, func() bool { return len(statusOf(name).Waiters) == 1 })
		if err != nil {
			return err
		}
		own = append(own, took)
	}
	b.add("flock FILE echo", "ms", flock, "", nil, nil)
	b.add("poolrun --pool /b -- echo", "ms", own, "flock", flock, nil)
	b.add("poolrun --pool /b -- echo, median", "ms", own, "", nil, atMost(5))
	b.add("poolrun --pool /b -- echo, worst", "ms", []float64{spreadOf(own).Max}, "", nil, atMost(100))
	return nil
}

// kill kills a holder while a command waits behind it, and returns after how many milliseconds the
// command printed its output.
func kill(c *crowd, next []string, isWaiting func() bool) (took float64, err error) {
	cmd := exec.Command(next[0], next[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	await(isWaiting)
	time.Sleep(50 * time.Millisecond) // so that it has waited for a while
	began := time.Now()
	syscall.Kill(-c.holder.Process.Pid, syscall.SIGKILL)
	if _, err = out.Read(make([]byte, 1)); err != nil {
		return 0, err
	}
	took = ms(time.Since(began))
	c.disperse()
	return took, cmd.Wait()
}
