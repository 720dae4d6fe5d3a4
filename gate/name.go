package gate

import (
	"fmt"
	"strings"

	"github.com/poolrun/poolrun/internal/sem"
)

// fileName returns the name of the semaphore's file, or ErrInvalid for a name that glibc
// does not take (sem_overview(7)): a slash, then at least one byte, no further slash, and
// no more than NAME_MAX - 4 bytes in all.
func fileName(name string) (string, error) {
	base, ok := strings.CutPrefix(name, "/")
	if !ok || base == "" || len(base) > 255-len("sem.") || strings.ContainsAny(base, "/\x00") {
		return "", fmt.Errorf("%w semaphore name %q", ErrInvalid, name)
	}
	return sem.File(name), nil
}
