package machine

import (
	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// OnlineCPUs returns how many CPUs of the machine are online, or 0 if /proc does not say. It is bare
// Go. runtime.NumCPU is not the same: it counts the CPUs that this process may run on
// (sched_getaffinity(2)). A pool belongs to the machine, so its size must not depend on the affinity
// of the process that creates it.
func OnlineCPUs() int {
	fd := bare.Sys(unix.SYS_OPENAT, bare.AtCWD, bare.Pointer(bare.C("/proc/stat\x00")), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if fd < 0 {
		return 0
	}
	var count cpuCount
	var buffer [4096]byte
	for {
		n := bare.Sys(unix.SYS_READ, uintptr(fd), bare.Pointer(&buffer), uintptr(len(buffer)), 0)
		if n <= 0 || n > len(buffer) {
			break
		}
		count.add(buffer[:n])
	}
	bare.Sys(unix.SYS_CLOSE, uintptr(fd), 0, 0, 0)
	return count.cpus
}

// A cpuCount counts the lines for single CPUs in /proc/stat, "cpu0" and so on. Only online CPUs have
// one (proc_stat(5)).
type cpuCount struct {
	cpus   int
	column int // how much of "cpu" the line has begun with, or a number that is too high
}

func (c *cpuCount) add(text []byte) {
	const begin = "cpu"
	for i := range text {
		char := text[i]
		switch {
		case char == '\n':
			c.column = 0
			continue
		case c.column == len(begin) && char >= '0' && char <= '9':
			c.cpus++
		case c.column < len(begin) && char == begin[c.column]:
			c.column++
			continue
		}
		c.column = len(begin) + 1
	}
}
