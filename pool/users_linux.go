package pool

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// foreignUsers lists the processes that have the semaphore mapped and are neither
// this one nor participants of the pool.
func (p *Pool) foreignUsers() []int {
	l := p.ledger
	var own []int
	for r := ref(1); r <= min(l.used.Load(), MaxParticipants); r++ {
		if l.at(r).state.Load() != free {
			own = append(own, int(l.at(r).pid.Load()))
		}
	}
	return slices.DeleteFunc(usersOf(p.object.Device, p.gate.Inode()), func(pid int) bool { return slices.Contains(own, pid) })
}

// usersOf lists the processes, but for this one, that have the file with this device
// and inode mapped, as far as /proc shows.
func usersOf(device, inode uint64) (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	file := fmt.Appendf(nil, " %02x:%02x %d ", unix.Major(device), unix.Minor(device), inode)
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// The fields of a line: address, permissions, offset, device, inode, path. The
		// path is what the process itself sees, which may not be /dev/shm.
		if maps, err := os.ReadFile("/proc/" + entry.Name() + "/maps"); err == nil && bytes.Contains(maps, file) {
			pids = append(pids, pid)
		}
	}
	return pids
}
