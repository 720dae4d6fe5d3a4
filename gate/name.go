//go:build linux && (amd64 || arm64)

package gate

import (
	"fmt"
	"strings"
)

// The semaphore's file in /dev/shm, by glibc's rule (sem_overview(7)): sem.NAME
// for the name /NAME, with no other slash in it and at most NAME_MAX - 4 bytes.
func fileName(name string) (string, error) {
	base, ok := strings.CutPrefix(name, "/")
	if !ok || base == "" || len(base) > 255-len("sem.") || strings.ContainsAny(base, "/\x00") {
		return "", fmt.Errorf("%w semaphore name %q", ErrInvalid, name)
	}
	return "sem." + base, nil
}
