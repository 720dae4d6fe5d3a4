package gate

// A Tag says what a semaphore was made for. Names say nothing: any program may have
// been first to take one. A tag is set before the semaphore has its name, and never
// changed; so a semaphore that has another tag than expected is somebody else's, and
// is neither used nor removed.
type Tag uint64

const (
	TagNone    Tag = 0                  // a C program's, or Create's
	TagPool    Tag = 0x6c6f6f702d6e7572 // "run-pool", read as a little-endian number: a pool's gate
	tagBarrier Tag = 0x727261622d6e7572 // "run-barr": one of the two of a Barrier
)

// Tag is what the semaphore was made for.
func (s *Sem) Tag() (tag Tag, err error) {
	err = s.use(func() error {
		tag = Tag(s.sem.tag.Load())
		return nil
	})
	return tag, err
}

// SetTag is for a prepared semaphore, before Link.
func (s *Sem) SetTag(tag Tag) error {
	return s.use(func() error {
		s.sem.tag.Store(uint64(tag))
		return nil
	})
}

// IsSound reports whether it can be a semaphore, by what sem_open(3) writes and what a
// value can be.
func (s *Sem) IsSound() bool {
	sound := false
	err := s.use(func() error {
		sound = s.sem.data.Load()&valueMask <= MaxValue && s.sem.shared.Load() == sharedFutex
		return nil
	})
	return sound && err == nil
}

func (t Tag) String() string {
	switch t {
	case TagNone:
		return "another program"
	case TagPool:
		return "a pool"
	case tagBarrier:
		return "a barrier"
	}
	return "an unknown program"
}
