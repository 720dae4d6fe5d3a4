package pool

import (
	"errors"
	"fmt"
	"strings"
)

const maxNameBytes = 200

// CheckName returns the pool's name with its leading slash, which may be left
// out, or ErrInvalid: 1 to 200 bytes after the slash, none of them a slash or
// NUL, and not "." or "..".
func CheckName(name string) (string, error) {
	base := strings.TrimPrefix(name, "/")
	var why string
	switch {
	case base == "":
		why = "it is empty"
	case len(base) > maxNameBytes:
		why = fmt.Sprintf("it is longer than %d bytes", maxNameBytes)
	case base == "." || base == "..":
		why = "it names a directory"
	case strings.Contains(base, "/"):
		why = "it has a slash in it"
	case strings.Contains(base, "\x00"):
		why = "it has a NUL in it"
	default:
		return "/" + base, nil
	}
	return "", &Error{fmt.Sprintf("pool name %q", name), ErrInvalid, errors.New(why)}
}

// The ledger's file in /dev/shm. The semaphore's name is the pool's own.
func ledgerFile(name string) string { return ledgerPrefix + name[1:] }

const ledgerPrefix = "poolrun."
