package supervisor

import (
	"os"
	"slices"
	"strconv"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// A relative is a descendant of this process, as /proc shows it. Its start tells it from a later
// process with the same pid.
type relative struct {
	pid, parent, group int
	start              uint64 // bare.Process.Start
}

// descendants lists the processes that descend from this one by a chain of living parents, parents
// first. It lists nothing if /proc is not that of this pid namespace. A process that is hidden from
// this user (hidepid in proc(5)) is left out, and what descends from it too.
func descendants() (list []relative) {
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
	list = children[ownPID()]
	for i := 0; i < len(list); i++ {
		list = append(list, children[list[i].pid]...)
	}
	return list
}

// readRelative reports false if there is no such process. A zombie is one.
func readRelative(pid int) (r relative, ok bool) {
	var path bare.StatPath
	process, ok := bare.ReadProcess(path.Of(int32(pid)))
	return relative{pid, int(process.Parent), int(process.Group), process.Start}, ok
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
