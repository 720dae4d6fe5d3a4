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

	switch n, err := p.missing(); {
	case err != nil:
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
// tell, and it is 0.
func (p *Pool) missing() (int, error) {
	l := p.ledger
	if l.intent.op.Load() != idle {
		return 0, nil
	}
	value, err := p.gate.Value()
	return int(l.size.Load()) + int(l.debt.Load()) - int(l.inUse.Load()) - p.unreturned - value, err
}

// isTaken reports whether a living program may have the missing tokens. The kernel knows
// whether anybody else has the semaphore open, in whatever namespace.
func (p *Pool) isTaken(missing int) bool { return missing > 0 && !p.gate.IsOnlyUser() }

// isUsed reports whether anybody holds a slot or waits for one, a foreign program, which
// is in no ledger, included.
func (p *Pool) isUsed() (bool, error) {
	if !p.empty() {
		return true, nil
	}
	missing, err := p.missing()
	return p.isTaken(missing), err
}

// isMuslSemaphore reports whether a file of /dev/shm can be a semaphore of musl, which
// adds no "sem." to the name (src/thread/sem_open.c there) and has the same sizeof(sem_t).
func isMuslSemaphore(file string) bool {
	info, err := os.Lstat(shm.Path(file))
	return err == nil && info.Mode().IsRegular() && info.Size() == 32 && !strings.HasPrefix(file, "sem.")
}
