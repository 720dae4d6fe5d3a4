package pool

import (
	"errors"
	"fmt"
	"strings"

	"github.com/poolrun/poolrun/internal/bare"
)

const maxNameBytes = 200

// CheckName returns the pool's name with its leading slash, which may be omitted, or ErrInvalid. A
// name has 1 to 200 bytes after the slash. None of them is a slash or NUL, and they are not "." or
// "..".
func CheckName(name string) (string, error) {
	if why := whyNoName(name); why != "" {
		return "", &Error{fmt.Sprintf("pool name %q", name), ErrInvalid, errors.New(why)}
	}
	return "/" + strings.TrimPrefix(name, "/"), nil
}

// IsName reports whether CheckName accepts a name. It is bare Go.
func IsName(name string) bool { return whyNoName(name) == "" }

// whyNoName is bare Go.
func whyNoName(name string) (why string) {
	base := strings.TrimPrefix(name, "/")
	switch {
	case base == "":
		return "it is empty"
	case len(base) > maxNameBytes:
		return "it is longer than 200 bytes"
	case base == "." || base == "..":
		return "it names a directory"
	case bare.Index(base, '/') >= 0:
		return "it contains a slash"
	case bare.Index(base, 0) >= 0:
		return "it contains a NUL"
	}
	return ""
}

// ledgerFile is the name of the ledger's file in /dev/shm. The semaphore has the pool's own name.
func ledgerFile(name string) string { return ledgerPrefix + name[1:] }

const ledgerPrefix = "poolrun."

// nameOfLedger returns the name of the pool to which a file of /dev/shm belongs, if it is a ledger's.
func nameOfLedger(file string) (name string, ok bool) {
	if base, ok := strings.CutPrefix(file, ledgerPrefix); ok {
		name, err := CheckName("/" + base)
		return name, err == nil
	}
	return "", false
}
