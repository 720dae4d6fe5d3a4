package ledger

import (
	"time"
	"unsafe"

	"github.com/poolrun/poolrun/internal/bare"
)

// Size is the size of a ledger's file.
const Size = int64(unsafe.Sizeof(Ledger{}))

// CopyTo copies the ledger into memory of the caller's own, except for records that were never in
// use.
func (l *Ledger) CopyTo(draft *Ledger) {
	copyMemory(unsafe.Pointer(draft), unsafe.Pointer(l), unsafe.Offsetof(l.participants))
	used := min(uintptr(draft.used.Load())+1, MaxParticipants) // one more: see Rebuild
	copyMemory(unsafe.Pointer(&draft.participants), unsafe.Pointer(&l.participants), used*unsafe.Sizeof(Participant{}))
}

func copyMemory(to, from unsafe.Pointer, size uintptr) {
	copy(unsafe.Slice((*byte)(to), size), unsafe.Slice((*byte)(from), size))
}

// A Clock is the clock of a ledger: nanoseconds since the machine was started, suspension included.
// It cannot be set, and it is the same for all processes of the machine: a time namespace shows
// CLOCK_BOOTTIME with an offset (time_namespaces(7)), which the clock subtracts. Its value is that
// offset, in nanoseconds.
type Clock int64

// Now is the present moment.
func (c Clock) Now() int64 { return bare.BootTime() - int64(c) }

// Ago is how long before now a moment was. A moment that seems to lie in the future, in a ledger
// that somebody has scribbled on, was just now.
func Ago(now, then int64) time.Duration { return time.Duration(max(now-then, 0)) }
