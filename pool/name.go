package pool

import (
	"errors"
	"fmt"
	"strings"
)

const maxNameBytes = 200

// CheckName returns the pool's name with its leading slash, which may be omitted, or ErrInvalid. A
// name has 1 to 200 bytes after the slash. None of them is a slash or NUL, and they are not "." or
// "..".
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
		why = "it contains a slash"
	case strings.Contains(base, "\x00"):
		why = "it contains a NUL"
	default:
		return "/" + base, nil
	}
	return "", &Error{fmt.Sprintf("pool name %q", name), ErrInvalid, errors.New(why)}
}

// ledgerFile is the name of the ledger's file in /dev/shm. The semaphore has the pool's own name.
func ledgerFile(name string) string { return ledgerPrefix + name[1:] }

const ledgerPrefix = "poolrun."
