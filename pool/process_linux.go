package pool

import (
	"bytes"
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// An identity says which process a participant is.
type identity struct {
	pid       int32
	namespace uint64
	uid       uint32
}

func whoAmI() (identity, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return identity{}, errors.Join(errors.New("/proc is needed"), err)
	}
	return identity{int32(os.Getpid()), st.Ino, uint32(os.Getuid())}, nil
}

// A procStat is what poolrun needs of /proc/PID/stat, proc_pid_stat(5).
type procStat struct {
	state byte   // field 3
	start uint64 // field 22, in clock ticks since boot
}

// readStat reads a stat file of /proc; errors.Is(err, ENOENT) where there is no
// such process, or none that the caller may see.
func readStat(path string) (procStat, error) {
	text, err := readShort(path)
	if err != nil {
		return procStat{}, err
	}
	// Field 2, the command's name in parentheses, may hold any byte.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return procStat{}, errors.New("cannot read " + path)
	}
	start, err := strconv.ParseUint(string(fields[22-3]), 10, 64)
	return procStat{fields[0][0], start}, err
}

// readShort reads a file of less than a page. Not through package os, which would
// set up its poller for it.
func readShort(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	text := make([]byte, 4096)
	n, err := unix.Read(fd, text)
	return text[:max(n, 0)], err
}

func statPath(pid int32) string { return "/proc/" + strconv.Itoa(int(pid)) + "/stat" }

// now is a moment as readStat tells it: in clock ticks since boot.
func now() uint64 {
	const tick = 1e9 / 100 // USER_HZ is 100 on all of Go's architectures
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // of start_boottime in fs/proc/array.c
	return uint64(ts.Nano()) / tick
}

// isRunning reports whether the process that had this pid at a moment is still
// there: one that has it now and has started since is another. A zombie is not
// there: it holds nothing. A process that cannot be looked at (hidepid, proc(5))
// counts as there, for too few commands beat too many.
func isRunning(pid int32, seen uint64) bool {
	if unix.Kill(int(pid), 0) == unix.ESRCH {
		return false
	}
	stat, err := readStat(statPath(pid))
	if err != nil {
		return unix.Kill(int(pid), 0) != unix.ESRCH
	}
	return stat.start <= seen && stat.state != 'Z' && stat.state != 'X'
}

// isRunnable reports whether a thread of the process is running or about to.
func isRunnable(pid int32) bool {
	dir := "/proc/" + strconv.Itoa(int(pid)) + "/task"
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, task := range tasks {
		if stat, err := readStat(dir + "/" + task.Name() + "/stat"); err == nil && stat.state == 'R' {
			return true
		}
	}
	return false
}
