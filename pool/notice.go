package pool

import (
	"fmt"
	"os"
	"strings"

	"github.com/poolrun/poolrun/internal/shm"
)

// notices says what other programs seem to have done to the semaphore, for people. It
// runs under the ledger lock.
func (p *Pool) notices() (texts []string) {
	notice := func(format string, args ...any) { texts = append(texts, fmt.Sprintf(format, args...)) }

	switch n := p.missing(); {
	case n > 0:
		notice("other programs have taken %d slots; if they have exited without returning them, %q puts them back", n, "poolrun repair "+p.name)
	case n < 0:
		notice("the semaphore was posted %d times too often; %q mends that", -n, "poolrun repair "+p.name)
	}
	if file := p.name[1:]; isMuslSemaphore(file) {
		notice("%s looks like the semaphore %s of a program with musl, which does not share this pool", shm.Path(file), p.name)
	}
	return texts
}

// missing is how many slots other programs have taken from the semaphore, or, below
// zero, posted without having taken them. While a change waits to be mended, nobody can
// tell.
func (p *Pool) missing() int {
	l := p.ledger
	value, err := p.gate.Value()
	if err != nil || l.intent.op.Load() != idle {
		return 0
	}
	return int(l.size.Load()) + int(l.debt.Load()) - int(l.inUse.Load()) - p.unreturned - value
}

// isMuslSemaphore reports whether a file of /dev/shm can be a semaphore of musl, which
// adds no "sem." to the name (src/thread/sem_open.c there) and has the same sizeof(sem_t).
func isMuslSemaphore(file string) bool {
	info, err := os.Lstat(shm.Path(file))
	return err == nil && info.Mode().IsRegular() && info.Size() == 32 && !strings.HasPrefix(file, "sem.")
}
