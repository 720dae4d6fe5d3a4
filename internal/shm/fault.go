package shm

import (
	"errors"
	"runtime/debug"
)

// ErrFault is the error of CatchFault.
var ErrFault = errors.New("truncated while in use")

// CatchFault turns a memory fault of the calling goroutine into ErrFault: the
// SIGBUS that touching a mapping raises when its file was truncated by somebody
// (mmap(2)). Use it around every access to a view:
//
//	defer shm.CatchFault(&err, shm.PanicOnFault())
func CatchFault(err *error, before bool) {
	debug.SetPanicOnFault(before)
	switch p := recover().(type) {
	case nil:
	case interface{ Addr() uintptr }: // runtime.errorAddressString
		*err = ErrFault
	default:
		panic(p)
	}
}

// PanicOnFault makes faults of the calling goroutine panics, and returns whether
// they were before.
func PanicOnFault() (before bool) { return debug.SetPanicOnFault(true) }
