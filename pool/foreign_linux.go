package pool

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/shm"
	"golang.org/x/sys/unix"
)

// What foreign programs have done to the semaphore. Most of this runs under the ledger lock.

// missing is how many tokens foreign programs have taken from the semaphore. Below zero, it is how
// many they have posted without having taken them. While a change waits to be mended that cannot be
// known, and missing is 0.
func (p *Pool) missing() int {
	if p.mem.HasIntent() {
		return 0
	}
	return p.mem.Size() + p.mem.Debt() - p.mem.InUse() - p.mem.Gate.Value()
}

// areTaken reports whether a living program may have the missing tokens. The kernel knows whether
// any other process has the semaphore open, in whatever namespace.
func (p *Pool) areTaken(missing int) bool { return missing > 0 && !p.mem.Gate.IsOnlyUser() }

// isUsed reports whether anybody holds a slot or waits for one, foreign programs included.
func (p *Pool) isUsed() bool { return !p.mem.IsEmpty() || p.areTaken(p.missing()) }

// notices describes what foreign programs seem to have done, for people.
func (p *Pool) notices(missing int) (texts []string) {
	repair := "poolrun repair " + p.name
	switch {
	case missing > 0:
		texts = append(texts, fmt.Sprintf("other programs have taken %s; if they have exited without returning that, %q puts it back",
			count(missing, "slot"), repair))
	case missing < 0:
		texts = append(texts, fmt.Sprintf("the semaphore was posted %s too often; %q corrects that", count(-missing, "time"), repair))
	}
	if file := p.name[1:]; isMuslSemaphore(file) {
		texts = append(texts, fmt.Sprintf("%s looks like the semaphore %s of a program with musl, which does not share this pool", shm.Path(file), p.name))
	}
	return texts
}

// count is a number of things: "1 slot", "2 slots".
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// isMuslSemaphore reports whether a file of /dev/shm can be a semaphore of musl, which puts no
// "sem." before the name (src/thread/sem_open.c there) and has the same sizeof(sem_t).
func isMuslSemaphore(file string) bool {
	info, err := os.Lstat(shm.Path(file))
	return err == nil && info.Mode().IsRegular() && info.Size() == 32 && !strings.HasPrefix(file, "sem.")
}

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
