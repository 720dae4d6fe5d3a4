package ledger

import "unsafe"

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
