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
//	defer shm.CatchFault(&err)()
func CatchFault(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		switch p := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // runtime.errorAddressString
			*err = ErrFault
		default:
			panic(p)
		}
	}
}
