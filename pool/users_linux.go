package pool

import (
	"bytes"
	"os"
	"slices"
	"strconv"
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
	return slices.DeleteFunc(usersOf(p.gate.Inode()), func(pid int) bool { return slices.Contains(own, pid) })
}

// usersOf lists the processes, but for this one, that have the file of /dev/shm
// with this inode mapped, or may have: whose maps cannot be read, proc_pid_maps(5).
func usersOf(inode uint64) (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return []int{0}
	}
	number := []byte(strconv.FormatUint(inode, 10))
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		maps, err := os.ReadFile("/proc/" + entry.Name() + "/maps")
		switch {
		case os.IsPermission(err):
			pids = append(pids, pid)
		case err == nil && mapsInode(maps, number):
			pids = append(pids, pid)
		}
	}
	return pids
}

// The fields of a line: address, permissions, offset, device, inode, path.
func mapsInode(maps, inode []byte) bool {
	for line := range bytes.Lines(maps) {
		if fields := bytes.Fields(line); len(fields) > 5 && bytes.Equal(fields[4], inode) && bytes.HasPrefix(fields[5], []byte("/dev/shm/sem.")) {
			return true
		}
	}
	return false
}
