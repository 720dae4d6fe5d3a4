package pool

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/poolrun/poolrun/internal/names"
	"github.com/poolrun/poolrun/internal/shm"
)

// A Status is what a pool was like at one moment.
type Status struct {
	Name      string
	Size      int // slots
	InUse     int // slots held, not processes
	Available int // the semaphore's value
	Mode      fs.FileMode
	Created   time.Time
	Taken     time.Time // when this status was taken
	Draining  bool
	Holders   []Holder // in the order of their first slots
	Waiters   []Waiter // in the order in which it will be their turn
	Counters  Counters
	Waits     Waits
	Notices   []string // what other programs seem to have done to the semaphore
}

// A Holder holds slots.
type Holder struct {
	Slots      []int
	Items      []string // as many as slots, or none
	PID        int
	CommandPID int    // 0 where it runs no command
	User       string // its name, or number
	Orphaned   bool   // PID is gone, its command lives on
	Acquired   time.Time
	Command    string
	uid        uint32
}

// A Waiter stands in line.
type Waiter struct {
	PID      int
	User     string
	Weight   int
	Priority int
	Since    time.Time
	Command  string
	uid      uint32
}

// Counters count what has happened since the pool was made.
type Counters struct {
	Acquired, Released, TimedOut, Busy, Cancelled, Reclaimed uint64
	// How often a change whose author had died was completed, or undone.
	RolledForward, RolledBack uint64
}

// Waits tell how long those who got their slots had waited for them.
type Waits struct {
	Sum, Max time.Duration
	Buckets  []Bucket // ascending and cumulative
}

// A Bucket counts the waits of at most Limit.
type Bucket struct {
	Limit time.Duration
	Count uint64
}

// Status takes a status of the pool, after taking the slots of the dead back; a
// pool that was opened read-only shows them as they stand in the ledger.
func (p *Pool) Status() (s Status, err error) {
	defer func() { s.nameUsers() }() // after the lock: a directory of users may be slow
	look := func() (err error) {
		s, err = p.status()
		return err
	}
	if p.object.ReadOnly {
		err = p.lockedReadOnly(look)
		return s, err
	}
	err = p.promptly(func() error {
		if err := p.reapDrainer(); err != nil {
			return err
		}
		if err := p.reapAll(); err != nil {
			return err
		}
		return look()
	})
	return s, err
}

func (s *Status) nameUsers() {
	for i := range s.Holders {
		s.Holders[i].User = names.User(s.Holders[i].uid)
	}
	for i := range s.Waiters {
		s.Waiters[i].User = names.User(s.Waiters[i].uid)
	}
}

func (p *Pool) lockedReadOnly(look func() error) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), lockWithin)
	defer cancel()
	if err := p.lock(ctx); err != nil {
		return p.orStuck(err)
	}
	defer p.unlock()
	defer p.explain(&err)
	defer shm.CatchFault(&err, shm.PanicOnFault())
	if err := p.ledger.check(); err != nil {
		return err
	}
	return look()
}

func (p *Pool) status() (s Status, err error) {
	l := p.ledger
	if l.life.Load() != alive {
		return s, p.fail(ErrNotExist, nil)
	}
	s = Status{
		Name:     p.name,
		Size:     int(l.size.Load()),
		InUse:    int(l.inUse.Load()),
		Mode:     p.object.Mode,
		Created:  time.Unix(0, l.created.Load()),
		Taken:    time.Now(),
		Draining: l.drainer.Load() != 0,
		Counters: Counters{
			Acquired: l.counterValue(acquired), Released: l.counterValue(released),
			TimedOut: l.counterValue(timedOut), Busy: l.counterValue(busy),
			Cancelled: l.counterValue(cancelled), Reclaimed: l.counterValue(reclaimed),
			RolledForward: l.counterValue(rolledForward), RolledBack: l.counterValue(rolledBack),
		},
		Waits:   l.waits.read(),
		Notices: p.notices(),
	}
	if s.Available, err = p.gate.Value(); err != nil {
		return s, err
	}
	for r := range l.holding {
		holder, err := p.holder(r)
		if err != nil {
			return s, err
		}
		s.Holders = append(s.Holders, holder)
	}
	for r := range l.line {
		rec := l.at(r)
		s.Waiters = append(s.Waiters, Waiter{
			PID: int(rec.pid.Load()), uid: rec.uid.Load(), Weight: int(rec.weight.Load()),
			Priority: int(rec.priority.Load()), Since: time.Unix(0, rec.since.Load()),
			Command: rec.commandText(),
		})
	}
	return s, nil
}

func (p *Pool) holder(r ref) (Holder, error) {
	rec := p.ledger.at(r)
	claimed, err := p.isClaimed(r)
	slots := p.ledger.slotsOf(r)
	return Holder{
		Slots: slots, Items: p.ledger.itemsOf(slots), PID: int(rec.pid.Load()), CommandPID: int(rec.commandPID.Load()),
		uid: rec.uid.Load(), Orphaned: !claimed, Acquired: time.Unix(0, rec.acquired.Load()),
		Command: rec.commandText(),
	}, err
}

func (rec *participant) commandText() string {
	return string(rec.command[:min(int(rec.commandLength.Load()), commandBytes)])
}

func (w *waitStats) read() Waits {
	waits := Waits{Sum: time.Duration(w.sum.Load()), Max: time.Duration(w.max.Load())}
	total := uint64(0)
	for i, limit := range waitLimits {
		total += w.buckets[i].Load()
		waits.Buckets = append(waits.Buckets, Bucket{limit, total})
	}
	return waits
}

// Names lists the pools of this machine by their names in /dev/shm, sorted; not
// all of them need be open to the caller, or sound.
func Names() ([]string, error) {
	entries, err := os.ReadDir(shm.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []string
	for _, entry := range entries {
		if base, ok := strings.CutPrefix(entry.Name(), ledgerPrefix); ok {
			if name, err := CheckName(base); err == nil {
				list = append(list, name)
			}
		}
	}
	slices.Sort(list)
	return list, nil
}
