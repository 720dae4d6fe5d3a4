package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
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

// A crowd is a holder and the commands that wait behind it.
type crowd struct {
	holder  *exec.Cmd
	gate    *os.File // the holder ends when this is closed
	waiting []*exec.Cmd
}

// gather starts a holder, and then n copies of a command that wait behind it. The holder's command
// reads from a FIFO, which can be opened for writing when the command runs (fifo(7)).
func (b *bench) gather(l *limit, n int, command ...string) (c *crowd, err error) {
	fifo := b.file("fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		return nil, err
	}
	c = &crowd{holder: start(l.argv("cat", fifo))}
	if err := c.holder.Start(); err != nil {
		return nil, err
	}
	if c.gate, err = os.OpenFile(fifo, os.O_WRONLY, 0); err != nil {
		return nil, err
	}
	for range n {
		cmd := start(l.argv(command...))
		if err := cmd.Start(); err != nil {
			c.disperse()
			return nil, err
		}
		c.waiting = append(c.waiting, cmd)
	}
	if l.inLine == nil {
		time.Sleep(2 * time.Second)
		return c, nil
	}
	err = await(fmt.Sprintf("%d behind %q", n, l.prefix), func() bool { return l.inLine() == n })
	if err != nil {
		c.kill()
		c.disperse()
	}
	return c, err
}

func start(argv []string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	return cmd
}

// disperse lets the holder end, and returns when the last process has ended.
func (c *crowd) disperse() {
	c.gate.Close()
	c.holder.Wait()
	for _, cmd := range c.waiting {
		cmd.Wait()
	}
}

// kill kills the holder and its command, and waits for the holder, since some tools take a zombie for
// alive.
func (c *crowd) kill() {
	pids := append(descendants(c.holder.Process.Pid), c.holder.Process.Pid)
	for _, pid := range pids {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	c.holder.Wait()
}

func descendants(pid int) (list []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, field := range strings.Fields(string(text)) {
		child, _ := strconv.Atoi(field)
		list = append(append(list, descendants(child)...), child)
	}
	return list
}

// await returns when a condition holds, or an error if that takes very long. It asks rarely, so that
// it does not disturb.
func await(what string, condition func() bool) error {
	for began := time.Now(); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			return fmt.Errorf("never seen: %s", what)
		}
	}
	return nil
}

// cpuTime returns for how long all threads of a process have run, and the children that it has
// waited for. The former is the first field of schedstat, in nanoseconds
// (Documentation/scheduler/sched-stats.rst), the latter fields 16 and 17 of proc_pid_stat(5), in
// hundredths of a second.
func cpuTime(pid int) (sum time.Duration) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		first, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(first, 10, 64)
		sum += time.Duration(n)
	}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(text), ") ")
	if fields := strings.Fields(after); len(fields) > 14 {
		for _, field := range fields[13:15] {
			ticks, _ := strconv.ParseInt(field, 10, 64)
			sum += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return sum
}

// memory returns the sum of some lines of a process's smaps_rollup, in MB: proc_pid_smaps(5).
func memory(pid int, names ...string) (sum float64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(text)) {
		for _, name := range names {
			if fields := strings.Fields(line); fields[0] == name+":" {
				n, _ := strconv.Atoi(fields[1])
				sum += float64(n) / 1024
			}
		}
	}
	return sum
}
