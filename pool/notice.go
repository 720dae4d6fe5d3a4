package pool

import (
	"fmt"
	"os"
	"strings"

	"github.com/poolrun/poolrun/internal/shm"
)

// What foreign programs have done to the semaphore. All of this runs under the ledger lock.

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
		texts = append(texts, fmt.Sprintf("other programs have taken %s; if they have exited without returning them, %q puts them back",
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
