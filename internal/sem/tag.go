package sem

// A Tag says what a semaphore was made for. Its name does not: any program may have been first to
// take that name. A tag is written before the semaphore has its name and never changes. So a
// semaphore with another tag than expected belongs to another program, and is neither used nor
// removed.
type Tag uint64

const (
	TagNone    Tag = 0                  // made by sem_open(3) or gate.Create
	TagPool    Tag = 0x6c6f6f702d6e7572 // "run-pool" as a little-endian number: a pool's gate
	TagBarrier Tag = 0x727261622d6e7572 // "run-barr": one of the two of a barrier
)

// Tag is what the semaphore was made for.
func (s *Sem) Tag() Tag { return Tag(s.memory.tag.Load()) }

// IsSound reports whether the memory can be a semaphore: it has what sem_open(3) writes and a
// possible value.
func (s *Sem) IsSound() bool {
	return s.Value() <= MaxValue && s.memory.shared.Load() == sharedFutex
}

func (t Tag) String() string {
	switch t {
	case TagNone:
		return "another program"
	case TagPool:
		return "a pool"
	case TagBarrier:
		return "a barrier"
	}
	return "an unknown program"
}
