package shm

import (
	"errors"
	"fmt"
	"io/fs"
)

// A Refusal says why an object is not what it should be.
type Refusal int

const (
	Accepted Refusal = iota // it is no refusal
	isSymbolicLink
	isDirectory
	isSpecial // a device, a FIFO or a socket
	IsUntrusted
	hasWrongSize
)

// Refused is the error for an object that is not what it should be.
type Refused struct {
	File, Reason string
	Kind         error // fs.ErrPermission, ErrWrongSize, or nil for a file that is not a regular one
}

// ErrWrongSize is the kind of an object that has another size than expected.
var ErrWrongSize = errors.New("wrong size")

func (r *Refused) Error() string { return Path(r.File) + " " + r.Reason }
func (r *Refused) Unwrap() error { return r.Kind }

// explain returns the error for a refusal. Sizes are the one that the object has, and the one that
// it should have.
func (r Refusal) explain(file string, owner Owner, sizes [2]int64) *Refused {
	switch r {
	case isSymbolicLink:
		return &Refused{File: file, Reason: "is a symbolic link"}
	case isDirectory:
		return &Refused{File: file, Reason: "is a directory"}
	case IsUntrusted:
		return &Refused{file, "belongs to " + ownerName(uint32(owner.UID)) + ", who is neither you nor root, and is not shared through a group of yours", fs.ErrPermission}
	case hasWrongSize:
		return &Refused{file, fmt.Sprintf("has %d bytes instead of %d", sizes[0], sizes[1]), ErrWrongSize}
	}
	return &Refused{File: file, Reason: "is not a regular file"}
}
