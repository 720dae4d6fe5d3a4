package supervisor

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// A relative is a descendant of this process, as /proc shows it. Its start tells it from a later
// process with the same pid.
type relative struct {
	pid, parent, group int
	start              string // in ticks, proc_pid_stat(5)
}

// descendants lists the processes that descend from a process by a chain of living parents, parents
// first. It lists nothing if /proc is not that of this pid namespace. A process that is hidden from
// this user (hidepid in proc(5)) is left out, and what descends from it too.
func descendants(of int) (list []relative) {
	if !procIsOwn() {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	children := map[int][]relative{}
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			if r, ok := readRelative(pid); ok {
				children[r.parent] = append(children[r.parent], r)
			}
		}
	}
	list = children[of]
	for i := 0; i < len(list); i++ {
		list = append(list, children[list[i].pid]...)
	}
	return list
}

// readRelative reads a process's stat file. It reports false for a process that has ended. A zombie has
// ended unless other threads of it live.
func readRelative(pid int) (r relative, ok bool) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return r, false
	}
	// Field 2, the command's name in parentheses, can contain any byte.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 || fields[0][0] == 'X' || fields[0][0] == 'Z' && string(fields[17]) == "1" {
		return r, false
	}
	parent, err1 := strconv.Atoi(string(fields[1]))
	group, err2 := strconv.Atoi(string(fields[2]))
	return relative{pid, parent, group, string(fields[19])}, err1 == nil && err2 == nil
}

// signal sends a signal to the process, and to no later one with the same pid.
func (r relative) signal(n unix.Signal) error {
	fd, err := unix.PidfdOpen(r.pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if now, ok := readRelative(r.pid); !ok || now.start != r.start {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, n, nil, 0)
}

// isIn reports whether the process is one of a list.
func (r relative) isIn(list []relative) bool {
	return slices.ContainsFunc(list, func(other relative) bool { return other.pid == r.pid && other.start == r.start })
}
