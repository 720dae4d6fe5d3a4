package shm

import (
	"errors"
	"runtime/debug"
)

// ErrFault is what CatchFault makes of a fault.
var ErrFault = errors.New("truncated while in use")

// CatchFault turns a memory fault of the calling goroutine into ErrFault: touching a mapping whose
// file has been truncated raises SIGBUS (mmap(2)). Use it around every access to a view:
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

// PanicOnFault makes faults of the calling goroutine panic. It returns whether they did before.
func PanicOnFault() (before bool) { return debug.SetPanicOnFault(true) }
