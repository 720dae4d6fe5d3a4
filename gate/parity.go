package gate

import "sync/atomic"

// The methods in this file are for a program that keeps books on a semaphore,
// as the package pool does, and must know after a crash whether its change of
// the value happened.
//
// The word's highest bit, the parity, flips with every Swap and with nothing
// else: glibc adds to and subtracts from the count of sleepers below it and
// works unchanged with the bit set. Who writes down the parity before a Swap
// can tell afterwards whether the Swap took place, however many C programs
// wait and post in between. All Swaps of one semaphore must exclude each other.

// Parity is the word's highest bit.
func (s *Sem) Parity() (parity uint32, err error) {
	err = s.use(func() error {
		parity = uint32(s.sem.data.Load() >> 63)
		return nil
	})
	return parity, err
}

// Swap adds delta to the value and flips the parity, in one atomic step. It
// wakes nobody. When the value would fall below zero or rise above MaxValue it
// changes nothing and returns ErrWouldBlock or ErrOverflow. A value that is above
// MaxValue already, which another program must have written, can fall.
func (s *Sem) Swap(delta int) error {
	return s.use(func() error {
		for {
			d := s.sem.data.Load()
			value := int64(d&valueMask) + int64(delta)
			switch {
			case value < 0:
				return ErrWouldBlock
			case delta > 0 && value > MaxValue:
				return ErrOverflow
			}
			if s.sem.data.CompareAndSwap(d, (d&^valueMask|uint64(value))^parityBit) {
				return nil
			}
		}
	})
}

// CountSleeper counts one sleeper more, for good. From then on every
// sem_post(3) makes a wake call, so that a process may Sleep on the semaphore
// without being counted, and can die in its sleep without leaving a count.
func (s *Sem) CountSleeper() error {
	return s.use(func() error {
		s.sem.data.Add(oneSleeper)
		return nil
	})
}

// Sleepers is how many are counted as sleepers.
func (s *Sem) Sleepers() (n int, err error) {
	err = s.use(func() error {
		n = int(s.sem.data.Load() &^ parityBit >> 32)
		return nil
	})
	return n, err
}

// Word is the value as a futex word, to sleep on and to wake at. It must not be read,
// since the file behind it may be truncated, nor used after Close.
func (s *Sem) Word() *atomic.Uint32 { return s.word() }
