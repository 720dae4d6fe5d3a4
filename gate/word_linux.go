package gate

import (
	"sync/atomic"
	"unsafe"
)

// The value's half of the semaphore's word, on which the kernel lets processes
// sleep. It is the low half, which on a little-endian machine comes first;
// gate builds on no other (see name.go).
func (s *Sem) word() *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&s.sem.data))
}
