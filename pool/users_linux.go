package pool

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/poolrun/poolrun/internal/ledger"
	"golang.org/x/sys/unix"
)

// foreignUsers lists the processes that have the semaphore mapped and are neither this one nor
// participants of the pool.
func (p *Pool) foreignUsers() []int {
	var own []int
	for r := ledger.Ref(1); r <= p.mem.Used(); r++ {
		if rec, err := p.mem.At(r); err == nil && rec.State.Load() != ledger.StateFree {
			own = append(own, int(rec.PID.Load()))
		}
	}
	return slices.DeleteFunc(usersOf(p.object.Device, p.mem.Gate.Inode), func(pid int) bool { return slices.Contains(own, pid) })
}

// usersOf lists the processes, except for this one, that have the file with this device and inode
// mapped, as far as /proc shows.
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
		// The fields of a line are address, permissions, offset, device, inode and path. The path
		// is what that process sees, which may not be below /dev/shm.
		if maps, err := os.ReadFile("/proc/" + entry.Name() + "/maps"); err == nil && bytes.Contains(maps, file) {
			pids = append(pids, pid)
		}
	}
	return pids
}
