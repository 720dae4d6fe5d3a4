package pool

import (
	"bytes"
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

// Status takes a status of the pool, without its dead: their slots are taken back
// first, or, if the pool was opened read-only, left out.
func (p *Pool) Status() (s Status, err error) {
	err = p.use(func() error {
		if p.object.ReadOnly {
			return p.orStuck(p.readOnly(&s))
		}
		return p.orStuck(p.afterReaping(func() (err error) {
			if err := p.reapAll(); err != nil {
				return err
			}
			s, err = p.status()
			return err
		}))
	})
	s.nameUsers()
	return s, err
}

// nameUsers is for after the lock: a directory of users may be slow.
func (s *Status) nameUsers() {
	for i := range s.Holders {
		s.Holders[i].User = names.User(s.Holders[i].uid)
	}
	for i := range s.Waiters {
		s.Waiters[i].User = names.User(s.Waiters[i].uid)
	}
}

func (p *Pool) status() (s Status, err error) {
	l := p.ledger
	if l.life.Load() != alive {
		return s, p.fail(ErrNotExist, nil)
	}
	// The ledger's clock cannot be set; the one that people read can. So a moment is
	// told as so long ago.
	taken, now := time.Now(), p.now()
	when := func(then int64) time.Time { return taken.Add(-ago(now, then)) }
	s = Status{
		Name:     p.name,
		Size:     int(l.size.Load()),
		InUse:    int(l.inUse.Load()),
		Mode:     p.object.Mode,
		Created:  time.Unix(0, l.created.Load()),
		Taken:    taken,
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
	census := p.takeCensus(s.InUse)
	for r := range l.holding {
		rec, slots := l.at(r), l.slotsOf(r)
		claimed, err := census.isClaimed(r)
		if err != nil {
			return s, err
		}
		s.Holders = append(s.Holders, Holder{
			Slots: slots, Items: l.itemsOf(slots), PID: int(rec.pid.Load()), CommandPID: int(rec.commandPID.Load()),
			uid: rec.uid.Load(), Orphaned: !claimed, Acquired: when(rec.acquired.Load()),
			Command: rec.commandText(),
		})
	}
	for r := range l.line {
		rec := l.at(r)
		s.Waiters = append(s.Waiters, Waiter{
			PID: int(rec.pid.Load()), uid: rec.uid.Load(), Weight: int(rec.weight.Load()),
			Priority: int(rec.priority.Load()), Since: when(rec.since.Load()),
			Command: rec.commandText(),
		})
	}
	return s, nil
}

func (rec *participant) commandText() string {
	text, _, _ := bytes.Cut(rec.command[:], []byte{0})
	return string(text)
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
