package sem

import (
	"sync/atomic"
	"unsafe"
)

// Word is the value as a futex word, to sleep on. It is the low half of the semaphore's word, which
// comes first on a little-endian machine. The package builds on no other.
func (s *Sem) Word() *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&s.memory.data))
}
