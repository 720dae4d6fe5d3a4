package shm

import "sync"

// A Lifetime makes sure that an object's mapping and descriptors are used only while the object is
// open: the number of a closed descriptor can belong to another file the next moment. Everything
// that uses the object does so between Enter and Leave. The zero Lifetime is open.
type Lifetime struct {
	mutex  sync.Mutex
	users  int
	closed bool
	empty  chan struct{} // made by End if anybody is inside, closed by the last to leave
}

// Enter reports false after End was called. Then it must not be followed by Leave.
func (l *Lifetime) Enter() bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.closed {
		return false
	}
	l.users++
	return true
}

// Leave ends what Enter began.
func (l *Lifetime) Leave() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.users--; l.users == 0 && l.empty != nil {
		close(l.empty)
	}
}

// Inside reports whether anybody is between Enter and Leave.
func (l *Lifetime) Inside() bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.users > 0
}

// IsOver reports whether End was called.
func (l *Lifetime) IsOver() bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.closed
}

// End lets nobody enter any more, calls expel, which has to make those inside leave, and blocks
// until the last has left. The first call reports true: its caller has to free what the object has.
// Later calls report false at once.
func (l *Lifetime) End(expel func()) bool {
	l.mutex.Lock()
	if l.closed {
		l.mutex.Unlock()
		return false
	}
	l.closed = true
	if l.users > 0 {
		l.empty = make(chan struct{})
	}
	empty := l.empty
	l.mutex.Unlock()
	expel()
	if empty != nil {
		<-empty
	}
	return true
}
