package gate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/poolrun/poolrun/internal/futex"
	"github.com/poolrun/poolrun/internal/sem"
	"github.com/poolrun/poolrun/internal/shm"
)

// MaxParties is the largest number of parties of a barrier.
const MaxParties = 4096

// A Barrier makes processes wait for each other: each party that arrives is held until as many have
// arrived as the barrier has parties. Then all go on. A barrier can be used again and again. Each
// use is a generation.
//
// A barrier consists of two semaphores, NAME.arrival and NAME.release. The value of release is the
// number of the generation. Parties sleep on it and go on when it changes. So a party of the next
// generation that comes early cannot take what is meant for a slow one of this generation. The
// value of arrival counts the parties that have come. Some of these may have died, so before the
// barrier opens the living are counted: each holds a lock on a byte of arrival's file.
//
// A barrier needs no set-up. The first party makes the semaphores and the last one removes them. If
// all are killed, the semaphores stay until the next use.
//
// Another program may own semaphores of these names. So a barrier tags its own, fails if it finds
// others, and removes only semaphores that it has open.
type Barrier struct {
	name    string
	parties int
}

// NewBarrier returns a barrier, or ErrInvalid for a name or a number of parties that no barrier can
// have. All parties must give the same number: Wait fails for a party that gives another number
// than those that are waiting.
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

// A party is a caller of Wait. It has open file descriptions of its own. So its locks are its own
// among the goroutines of a process, too.
type party struct {
	barrier          *Barrier
	arrival, release *sem.Sem
}

// heartbeat is the longest sleep of a party: the process that opens the barrier can be killed
// before it wakes the others.
const heartbeat = time.Second

// Wait arrives and blocks until all parties have arrived. If ctx is done before that, it takes its
// arrival back and returns ctx's error. A party that is killed before the barrier opens does not
// count.
//
// If the process is killed
//   - before it has locked its byte: nothing has happened;
//   - after that, and before release has changed: it does not count. The next process that
//     would open the barrier corrects the value of arrival;
//   - after that: the barrier is open. Parties that were not woken find out within a
//     heartbeat.
func (b *Barrier) Wait(ctx context.Context) (err error) {
	defer shm.CatchFault(&err, shm.PanicOnFault())
	p, err := b.enter(ctx)
	if err != nil {
		return err
	}
	generation := p.release.Value()
	seat, err := p.takeSeat(generation)
	if err != nil {
		p.leave()
		return err
	}
	present := p.arrival.Value() + 1
	if present >= b.parties {
		present = p.countLiving(generation)
	}
	if present >= b.parties {
		p.release.SetValue((generation + 1) & MaxValue)
		p.arrival.SetValue(0)
		p.release.Wake(futex.Everybody)
		p.freeSeat(seat)
		return p.leave()
	}
	p.arrival.SetValue(present)
	p.unlock()

	for p.release.Value() == generation && ctx.Err() == nil {
		futex.Sleep(ctx, p.release.Word(), uint32(generation), heartbeat)
	}

	// If the lock cannot be had, closing the descriptors frees the seat. Then the party counts as
	// dead.
	leaving, cancel := context.WithTimeout(context.Background(), heartbeat)
	defer cancel()
	if lockErr := p.lock(leaving); lockErr != nil {
		if p.release.Value() == generation {
			return ctx.Err()
		}
		return nil
	}
	if p.release.Value() == generation {
		err = ctx.Err()
		p.arrival.SetValue(max(p.arrival.Value(), 1) - 1)
	}
	p.freeSeat(seat)
	return errors.Join(err, p.leave())
}

// enter opens the semaphores, or makes them, and takes the barrier's lock: the lock on arrival's
// file. Both names appear and vanish only under it, and release exists only while arrival does.
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
		if !shm.IsNamed(sem.File(b.arrival()), arrival.Inode) { // the last party has just left
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

func (b *Barrier) unusable(cause error) error {
	return fmt.Errorf("cannot use barrier %s: %w", b.name, cause)
}

// openOrCreate opens one of a barrier's semaphores, or makes it. It refuses a semaphore that was
// made for anything else.
func openOrCreate(name string) (*sem.Sem, error) {
	for {
		s, err := Open(name)
		if err == nil {
			if tag := s.sem.Tag(); tag != sem.TagBarrier {
				s.sem.Close()
				return nil, fmt.Errorf("semaphore %s belongs to %s", name, tag)
			}
			return s.sem, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if s, err = create(name, 0, 0o600, sem.TagBarrier); err == nil {
			return s.sem, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
}

// agree makes sure that all parties of a generation give the same number: the first one notes it.
// The locks tell whether any party is waiting.
func (p *party) agree() error {
	others, err := shm.IsLocked(p.arrival.FD, seatByte(p.release.Value(), 0), MaxParties)
	if err != nil {
		return err
	}
	parties := p.arrival.Parties()
	if !others {
		parties.Store(uint32(p.barrier.parties))
	} else if n := int(parties.Load()); n != p.barrier.parties {
		return fmt.Errorf("the waiting callers expect %d parties, not %d", n, p.barrier.parties)
	}
	return nil
}

func (p *party) lock(ctx context.Context) error {
	return shm.Lock(ctx, p.arrival.FD, func(bool) { p.close() }) // which releases the lock
}

func (p *party) unlock() { shm.Unlock(p.arrival.FD) }

// A seat is the byte of arrival's file that a party locks while it waits. Each generation has seats
// of its own.
func seatByte(generation, i int) int64 {
	return shm.LockBase + int64(generation)*MaxParties + int64(i)
}

func (p *party) takeSeat(generation int) (seat int64, err error) {
	for i := range p.barrier.parties {
		seat = seatByte(generation, i)
		if err = shm.SetLock(p.arrival.FD, shm.Exclusive, seat); err == nil {
			return seat, nil
		}
	}
	return 0, fmt.Errorf("barrier %s: cannot take one of %d seats: %w", p.barrier.name, p.barrier.parties, err)
}

func (p *party) freeSeat(seat int64) { shm.SetLock(p.arrival.FD, shm.Unlocked, seat) }

// countLiving counts the parties of a generation, this one included.
func (p *party) countLiving(generation int) int {
	n := 1
	for i := range p.barrier.parties {
		if locked, err := shm.IsLocked(p.arrival.FD, seatByte(generation, i), 1); err == nil && locked {
			n++
		}
	}
	return n
}

// leave removes the semaphores if no party sits at the barrier, and releases the lock.
func (p *party) leave() error {
	defer p.close()
	defer p.unlock()
	occupied, err := shm.IsLocked(p.arrival.FD, shm.LockBase, 0)
	if occupied || err != nil {
		return err
	}
	return errors.Join(unlinkOwn(p.barrier.release(), p.release), unlinkOwn(p.barrier.arrival(), p.arrival))
}

// unlinkOwn removes a name that leads to this semaphore, if there is one.
func unlinkOwn(name string, s *sem.Sem) error {
	if s == nil || !shm.IsNamed(sem.File(name), s.Inode) {
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
