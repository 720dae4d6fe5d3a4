package gate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/poolrun/poolrun/internal/shm"
)

// MaxParties is the largest number of parties of a barrier.
const MaxParties = 4096

// A Barrier makes processes wait for each other: each one that arrives is held
// until as many have arrived as the barrier has parties; then all go on. It can
// be used again and again, and every use is one generation.
//
// It is built on two semaphores, NAME.arrival and NAME.release. The value of
// release is the number of the generation: those who wait sleep on it and go on
// when it is another. So a party of the next generation that comes early cannot
// take what is meant for one of this that is slow. The value of arrival is how
// many have come. It can count some that have died since; so before the barrier
// opens, the living are counted, who each hold a lock on a byte of arrival's file.
//
// Nothing is to be set up. The first who arrives makes the semaphores, the last
// who leaves removes them. If all are killed, they stay until the next use.
//
// The names may be taken by somebody else's semaphores. So a barrier tags its own,
// fails where it finds others, and removes none but those that it has open.
type Barrier struct {
	name    string
	parties int
}

// NewBarrier returns a barrier; ErrInvalid for a name or a number of parties that
// no barrier can have. All parties have to give the same number: Wait fails for one
// that gives another than those who wait already.
func NewBarrier(name string, parties int) (*Barrier, error) {
	if parties < 1 || parties > MaxParties {
		return nil, fmt.Errorf("%w number of parties %d: want 1 to %d", ErrInvalid, parties, MaxParties)
	}
	b := &Barrier{name, parties}
	_, err := fileName(b.arrival())
	return b, err
}

func (b *Barrier) arrival() string { return b.name + ".arrival" }
func (b *Barrier) release() string { return b.name + ".release" }

// A party is one that has arrived. It has open file descriptions of its own, so
// that its locks are its own among the goroutines of a process too.
type party struct {
	barrier          *Barrier
	arrival, release *Sem
}

// heartbeat is how long a party sleeps at most before it has a look: whoever opens
// the barrier can be killed before it wakes the others.
const heartbeat = time.Second

// Wait arrives, and blocks until all parties have. When ctx is done before, it
// takes its arrival back and returns ctx's error. A party that is killed before
// the barrier opens does not count.
//
// If the process is killed after a step: before its lock on a byte, nothing has
// happened; after it, and before release has changed, it does not count, and the
// value of arrival is put right by the next one that would open the barrier; after
// that, the barrier is open, and those who were not woken find out in a heartbeat.
func (b *Barrier) Wait(ctx context.Context) (err error) {
	defer shm.CatchFault(&err, shm.PanicOnFault())
	p, err := b.enter(ctx)
	if err != nil {
		return err
	}
	generation := p.generation()
	seat, err := p.sit(generation)
	if err != nil {
		p.leave()
		return err
	}
	present := int(p.arrival.sem.data.Load()&valueMask) + 1
	if present >= b.parties {
		present = p.living(generation)
	}
	if present >= b.parties {
		p.release.setValue((generation + 1) & MaxValue)
		p.arrival.setValue(0)
		p.release.Wake(everybody)
		p.stand(seat)
		return p.leave()
	}
	p.arrival.setValue(uint64(present))
	p.unlock()

	for p.generation() == generation && ctx.Err() == nil {
		p.release.sleep(ctx, uint32(generation), heartbeat)
	}

	// The kernel drops the seat with the descriptor, where the lock is not to be
	// had: then it is as if the process had died.
	leaving, cancel := context.WithTimeout(context.Background(), heartbeat)
	defer cancel()
	if lockErr := p.lock(leaving); lockErr != nil {
		if p.generation() == generation {
			return ctx.Err()
		}
		return nil
	}
	if p.generation() == generation {
		err = ctx.Err()
		p.arrival.setValue(max(p.arrival.sem.data.Load()&valueMask, 1) - 1)
	}
	p.stand(seat)
	return errors.Join(err, p.leave())
}

// enter opens the semaphores, or makes them, and takes the barrier's lock: the lock
// of arrival's file. Both names appear and vanish only under it, release inside
// arrival's time.
func (b *Barrier) enter(ctx context.Context) (*party, error) {
	for {
		arrival, err := openOrCreate(b.arrival())
		if err != nil {
			return nil, b.unusable(err)
		}
		p := &party{barrier: b, arrival: arrival}
		if err := p.lock(ctx); err != nil {
			return nil, err
		}
		if !IsNamed(b.arrival(), arrival.Inode()) { // the last one has left in this moment
			p.unlock()
			arrival.Close()
			continue
		}
		if p.release, err = openOrCreate(b.release()); err == nil {
			err = p.agree()
		}
		if err != nil {
			return nil, errors.Join(b.unusable(err), p.leave())
		}
		return p, nil
	}
}

func (b *Barrier) unusable(why error) error {
	return fmt.Errorf("cannot use barrier %s: %w", b.name, why)
}

// openOrCreate opens one of a barrier's semaphores, or makes it. It refuses one that
// was made for anything else.
func openOrCreate(name string) (*Sem, error) {
	for {
		s, err := Open(name)
		if err == nil {
			if err := s.mustBeBarriers(name); err != nil {
				s.Close()
				return nil, err
			}
			return s, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		s, err = create(name, 0, 0o600, tagBarrier)
		if !errors.Is(err, fs.ErrExist) {
			return s, err
		}
	}
}

func (s *Sem) mustBeBarriers(name string) error {
	tag, err := s.Tag()
	if err == nil && tag != tagBarrier {
		err = fmt.Errorf("semaphore %s belongs to %s", name, tag)
	}
	return err
}

// agree sees to it that all parties of a generation give the same number: the first
// one writes it down. Whether somebody waits only the locks can tell.
func (p *party) agree() error {
	others, err := shm.IsLocked(p.arrival.object.FD, seatByte(p.generation(), 0), MaxParties)
	if err != nil {
		return err
	}
	parties := &p.arrival.sem.parties
	if !others {
		parties.Store(uint32(p.barrier.parties))
	} else if n := int(parties.Load()); n != p.barrier.parties {
		return fmt.Errorf("those who wait there expect %d parties, not %d", n, p.barrier.parties)
	}
	return nil
}

func (p *party) lock(ctx context.Context) error {
	return shm.Lock(ctx, p.arrival.object.FD, func(bool) { p.close() }) // which gives the lock back
}

func (p *party) unlock() { shm.Unlock(p.arrival.object.FD) }

func (p *party) generation() uint64 { return p.release.sem.data.Load() & valueMask }

// A seat is the byte of arrival's file that a party locks while it waits. Each
// generation has seats of its own.
func seatByte(generation uint64, i int) int64 {
	return shm.LockBase + int64(generation)*MaxParties + int64(i)
}

func (p *party) sit(generation uint64) (seat int64, err error) {
	for i := range p.barrier.parties {
		seat = seatByte(generation, i)
		if err = shm.SetLock(p.arrival.object.FD, shm.Exclusive, seat); err == nil {
			return seat, nil
		}
	}
	return 0, fmt.Errorf("barrier %s: cannot take one of %d seats: %w", p.barrier.name, p.barrier.parties, err)
}

func (p *party) stand(seat int64) { shm.SetLock(p.arrival.object.FD, shm.Unlocked, seat) }

// living counts the parties of a generation, this one included.
func (p *party) living(generation uint64) int {
	n := 1
	for i := range p.barrier.parties {
		if locked, err := shm.IsLocked(p.arrival.object.FD, seatByte(generation, i), 1); err == nil && locked {
			n++
		}
	}
	return n
}

// leave removes the semaphores if nobody sits at the barrier, and gives the lock
// back.
func (p *party) leave() error {
	defer p.close()
	defer p.unlock()
	occupied, err := shm.IsLocked(p.arrival.object.FD, shm.LockBase, 0)
	if occupied || err != nil {
		return err
	}
	return errors.Join(unlinkOwn(p.barrier.release(), p.release), unlinkOwn(p.barrier.arrival(), p.arrival))
}

// unlinkOwn removes a name that leads to this semaphore, if there is one.
func unlinkOwn(name string, s *Sem) error {
	if s == nil || !IsNamed(name, s.Inode()) {
		return nil
	}
	return Unlink(name)
}

func (p *party) close() {
	p.arrival.Close()
	if p.release != nil {
		p.release.Close()
	}
}

// setValue sets the value and leaves the count of sleepers alone.
func (s *Sem) setValue(value uint64) {
	for {
		d := s.sem.data.Load()
		if s.sem.data.CompareAndSwap(d, d&^valueMask|value) {
			return
		}
	}
}

const everybody = MaxValue
