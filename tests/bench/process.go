package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/poolrun/poolrun/pool"
)

// A usage is the cost of one run of a command, with all processes that it waited for.
type usage struct {
	wall, cpu        time.Duration
	faults, switches int64
}

// run runs a command, which must succeed.
func run(argv ...string) (usage, error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return usage{}, err
	}
	began := time.Now()
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		return usage{}, err
	}
	var status syscall.WaitStatus
	var r syscall.Rusage
	for {
		if _, err = syscall.Wait4(pid, &status, 0, &r); err != syscall.EINTR {
			break
		}
	}
	wall := time.Since(began)
	if err == nil && status != 0 {
		err = fmt.Errorf("%q: exit code %d", argv, status.ExitStatus())
	}
	return usage{wall, time.Duration(r.Utime.Nano() + r.Stime.Nano()), r.Minflt, r.Nvcsw + r.Nivcsw}, err
}

// A crowd is a holder and the processes that wait behind it.
type crowd struct {
	holder  *exec.Cmd
	release io.Closer // lets the holder end
	waiting []*exec.Cmd
}

// gather starts a holder, and then n copies of the waiting command. isHeld reports whether the
// holder holds, and inLine how many commands wait.
func gather(holder, waiting []string, n int, isHeld func() bool, inLine func() int) (c *crowd, err error) {
	c = &crowd{holder: exec.Command(holder[0], holder[1:]...)}
	c.holder.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that kill reaches its command too
	if c.release, err = c.holder.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.holder.Start(); err != nil {
		return nil, err
	}
	await(isHeld)
	for range n {
		cmd := exec.Command(waiting[0], waiting[1:]...)
		if err := cmd.Start(); err != nil {
			c.disperse()
			return nil, err
		}
		c.waiting = append(c.waiting, cmd)
	}
	await(func() bool { return inLine() == n })
	return c, nil
}

// disperse lets the holder end, and returns when the last process has ended.
func (c *crowd) disperse() {
	c.release.Close()
	c.holder.Wait()
	for _, cmd := range c.waiting {
		cmd.Wait()
	}
}

// await returns when a condition holds. It asks rarely, so that it does not disturb.
func await(condition func() bool) {
	for !condition() {
		time.Sleep(5 * time.Millisecond)
	}
}

// gatherPool is gather for poolrun. The holder runs cat.
func (b *bench) gatherPool(name string, n int, command ...string) (*crowd, error) {
	// The command runs when its pid is known.
	isHeld := func() bool { s := statusOf(name); return len(s.Holders) == 1 && s.Holders[0].CommandPID != 0 }
	return gather([]string{b.poolrun, "--pool", name, "--", "cat"},
		append([]string{b.poolrun, "--pool", name, "--"}, command...), n,
		isHeld, func() int { return len(statusOf(name).Waiters) })
}

// gatherFlock is gather for flock(1).
func gatherFlock(file string, n int, command ...string) (*crowd, error) {
	return gather([]string{"flock", file, "cat"}, append([]string{"flock", file}, command...), n,
		func() bool { held, _ := locksOf(file); return held == 1 },
		func() int { _, waiting := locksOf(file); return waiting })
}

// locksOf counts the locks on a file, and the processes that wait for one: proc_locks(5).
func locksOf(file string) (held, waiting int) {
	var st syscall.Stat_t
	if err := syscall.Stat(file, &st); err != nil {
		panic(err)
	}
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		panic(err)
	}
	inode := fmt.Sprintf(":%d", st.Ino)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		isWaiting := fields[1] == "->"
		if isWaiting {
			fields = fields[1:]
		}
		if !strings.HasSuffix(fields[5], inode) {
			continue
		}
		if isWaiting {
			waiting++
		} else {
			held++
		}
	}
	return held, waiting
}

// cpuTime returns for how long all threads of a process have run: the sum of the first field of
// schedstat, in nanoseconds (Documentation/scheduler/sched-stats.rst).
func cpuTime(pid int) (sum time.Duration) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		first, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(first, 10, 64)
		sum += time.Duration(n)
	}
	return sum
}

// pss returns a process's share of memory, in MB: proc_pid_smaps(5).
func pss(pid int) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); fields[0] == "Pss:" {
			n, _ := strconv.Atoi(fields[1])
			return float64(n) / 1024
		}
	}
	return 0
}

func statusOf(name string) pool.Status {
	p, err := pool.Open(name)
	if err != nil {
		panic(err)
	}
	defer p.Close()
	s, err := p.Status()
	if err != nil {
		panic(err)
	}
	return s
}
