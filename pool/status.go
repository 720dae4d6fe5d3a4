package pool

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/names"
	"github.com/poolrun/poolrun/internal/shm"
)

// A Status describes a pool at one moment.
type Status struct {
	Name      string
	Size      int         // slots
	InUse     int         // slots held, not processes
	Available int         // the semaphore's value
	Mode      fs.FileMode // 0 if the pool has no files
	Created   time.Time
	Taken     time.Time // when this status was taken
	Draining  bool
	Holders   []Holder // in the order of their first slots
	Waiters   []Waiter // in the order in which they will be served
	Counters  Counters
	Delay     time.Duration // the least time between two starts
	Waits     Times         // how long participants waited that got their slots
	Holds     Times         // how long participants held slots that have given them back
	Notices   []string      // what foreign programs seem to have done to the semaphore
}

// A Holder holds slots.
type Holder struct {
	Slots      []int
	Items      []string // as many as slots, or none
	PID        int
	CommandPID int    // 0 if it runs no command
	User       string // its name or number
	Orphaned   bool   // PID is gone, and its command, or what that has left, lives on
	Descriptor bool   // PID, or a relative of it, holds the slots by an open descriptor: see HandOver
	Host       string // the machine it runs on, if several share the pool
	Acquired   time.Time
	Command    string
	uid        uint32
}

// A Waiter stands in line.
type Waiter struct {
	PID       int
	Host      string // the machine it runs on, if several share the pool
	User      string
	Weight    int
	Whole     bool // it asks for all slots that the pool has when its turn comes
	Priority  int
	Since     time.Time
	Extension bool   // the slots are for a command that holds some already: see Extending
	Condition string // what it waits for beside slots, if it is first in line and could have them, or is held back: see LongLived
	Command   string
	uid       uint32
}

// Counters count what has happened since the pool was made.
type Counters struct {
	Acquired, Released, TimedOut, Busy, Cancelled, Reclaimed uint64
	// How many changes were cut off by a death, and completed or undone.
	RolledForward, RolledBack uint64
}

// Times is a histogram of how long something took.
type Times struct {
	Sum, Max time.Duration
	Count    uint64
	Buckets  []Bucket // ascending and cumulative
}

// A Bucket counts the times of at most Limit.
type Bucket struct {
	Limit time.Duration
	Count uint64
}

// Status takes a status of the pool without its dead: it reaps them first. If the pool was opened
// read-only, it leaves them out. It returns ErrNotExist if the pool was destroyed, ErrDamaged or
// ErrStuck.
func (p *Pool) Status() (s Status, err error) {
	err = p.use(func() error {
		if p.object.ReadOnly {
			s, err = p.readOnlyStatus()
			return err
		}
		return p.updateReaped(func() error {
			if err := p.reapWaiting(); err != nil {
				return err
			}
			s, err = p.status(p.missing())
			return err
		})
	})
	// After the lock is released: a directory of users may be slow.
	for i := range s.Holders {
		s.Holders[i].User = names.User(s.Holders[i].uid)
	}
	for i := range s.Waiters {
		s.Waiters[i].User = names.User(s.Waiters[i].uid)
	}
	return s, err
}

// readOnlyStatus takes a status for a caller that cannot write. It works on a draft, a copy of the
// ledger that nobody shares, and does there what the next process that can write will do in the
// ledger itself: it completes or undoes a change that was cut off, and takes out the dead.
func (p *Pool) readOnlyStatus() (s Status, err error) {
	err = p.locked(p.open, lockLimit, func() error {
		if err := p.mem.Check(); err != nil {
			return err
		}
		mem := p.mem
		mem.Ledger, mem.Draft = new(ledger.Ledger), true
		p.mem.CopyTo(mem.Ledger)
		draft := &Pool{core: core{name: p.name, object: p.object, mem: mem, probe: p.probe, id: p.id, self: p.self}}
		if _, err := mem.Mend(); err != nil {
			return err
		}
		forgotten, err := draft.forgetTheDead()
		if err != nil {
			return err
		}
		s, err = draft.status(draft.missing() - forgotten)
		return err
	})
	return s, err
}

// forgetTheDead frees the records of the dead in a draft. It returns the number of slots that they
// held, which the gate still lacks.
func (p *Pool) forgetTheDead() (slots int, err error) {
	used := p.mem.Used()
	census := p.takeCensus(int(used))
	for r := ledger.Ref(1); r <= used; r++ {
		rec, err := p.mem.At(r)
		if err != nil {
			return 0, err
		}
		state := rec.State.Load()
		if state == ledger.StateFree {
			continue
		}
		locked, err := census.isLocked(rec)
		if err != nil {
			return 0, err
		}
		if locked || p.commandMayRun(rec) {
			continue
		}
		if n, err := rec.Slots(); err == nil && state == ledger.StateHeld {
			slots += n
		}
		rec.State.Store(ledger.StateFree)
	}
	return slots, p.mem.Rebuild()
}

// status describes the pool, under its lock.
func (p *Pool) status(missing int) (s Status, err error) {
	l := p.mem.Ledger
	if l.Life.Load() != ledger.LifeAlive {
		return s, p.fail(ErrNotExist)
	}
	// The ledger's clock cannot be set, and the one that people read can. So a moment is given as
	// that long ago.
	taken, now := time.Now(), p.mem.Clock.Now()
	when := func(then int64) time.Time { return taken.Add(-ledger.Ago(now, then)) }
	s = Status{
		Name:      p.name,
		Size:      l.Size(),
		InUse:     l.InUse(),
		Available: p.mem.Gate.Value(),
		Mode:      p.object.Mode,
		Created:   time.Unix(0, l.Created.Load()),
		Taken:     taken,
		Draining:  l.Drainer() != 0,
		Counters: Counters{
			Acquired: l.Count(ledger.CountAcquired), Released: l.Count(ledger.CountReleased),
			TimedOut: l.Count(ledger.CountTimedOut), Busy: l.Count(ledger.CountBusy),
			Cancelled: l.Count(ledger.CountCancelled), Reclaimed: l.Count(ledger.CountReclaimed),
			RolledForward: l.Count(ledger.CountRolledForward), RolledBack: l.Count(ledger.CountRolledBack),
		},
		Delay:   l.Delay(),
		Waits:   readTimes(&l.Waits),
		Holds:   readTimes(&l.Holds),
		Notices: p.notices(missing),
	}
	census := p.takeCensus(s.InUse)
	extended := map[uint64]int{} // by ticket, the place of a lease in the list
	var extensions []extension
	holders := l.Holders()
	for holders.Next() {
		rec := holders.Participant
		claimed, err := census.isClaimed(rec)
		if err != nil {
			return s, err
		}
		slots := p.slotsOf(holding{LeaseID{r: holders.Ref}, rec, l.NextSlot(holders.Ref, 0)})
		if ticket := rec.Extends.Load(); ticket != 0 {
			extensions = append(extensions, extension{ticket, len(s.Holders)})
		} else {
			extended[rec.Ticket.Load()] = len(s.Holders)
		}
		s.Holders = append(s.Holders, Holder{
			Slots: slots, Items: p.itemsOf(slots), PID: int(rec.PID.Load()), CommandPID: int(rec.CommandPID.Load()),
			uid: rec.UID.Load(), Acquired: when(rec.Acquired.Load()), Command: string(rec.CommandText()),
			Descriptor: rec.Descriptor.Load() != 0,
			Orphaned:   rec.Descriptor.Load() == 0 && !claimed && !p.isCommandItself(rec),
		})
	}
	s.Holders = p.mergeExtensions(s.Holders, extensions, extended)
	waiters := l.Turns()
	for waiters.Next() {
		rec := waiters.Participant
		condition := string(rec.ConditionText())
		if waiters.HeldBack {
			condition = heldBack
		}
		s.Waiters = append(s.Waiters, Waiter{
			PID: int(rec.PID.Load()), uid: rec.UID.Load(), Weight: int(rec.Weight.Load()),
			Whole: rec.Whole.Load() != 0, Priority: int(rec.Priority.Load()), Since: when(rec.Since.Load()),
			Extension: rec.Extends.Load() != 0, Condition: condition, Command: string(rec.CommandText()),
		})
	}
	return s, errors.Join(holders.Err, waiters.Err)
}

// An extension is a holder whose slots extend the lease with this ticket.
type extension struct {
	ticket uint64
	place  int // in the list of holders
}

// mergeExtensions adds the slots of extensions to the holders that they extend. An extension stays a
// holder of its own if the lease is not held any more.
func (p *Pool) mergeExtensions(holders []Holder, extensions []extension, extended map[uint64]int) []Holder {
	if len(extensions) == 0 {
		return holders
	}
	for _, e := range extensions {
		if place, ok := extended[e.ticket]; ok {
			holders[place].Slots = append(holders[place].Slots, holders[e.place].Slots...)
			holders[e.place].Slots = nil
		}
	}
	holders = slices.DeleteFunc(holders, func(h Holder) bool { return h.Slots == nil })
	for i := range holders {
		slices.Sort(holders[i].Slots)
		holders[i].Items = p.itemsOf(holders[i].Slots)
	}
	slices.SortFunc(holders, func(a, b Holder) int { return a.Slots[0] - b.Slots[0] })
	return holders
}

// isCommandItself reports whether a participant has exec'd its command and still runs. The kernel has
// released its claim then.
func (p *Pool) isCommandItself(rec *ledger.Participant) bool {
	return rec.CommandPID.Load() == rec.PID.Load() && p.commandMayRun(rec)
}

func readTimes(t *ledger.Times) Times {
	times := Times{Sum: time.Duration(t.Sum.Load()), Max: time.Duration(t.Max.Load()), Count: t.Count.Load()}
	total := uint64(0)
	for i, limit := range ledger.TimeLimits {
		total += t.Buckets[i].Load()
		times.Buckets = append(times.Buckets, Bucket{limit, total})
	}
	times.Count = max(times.Count, total) // a participant can have died in between
	return times
}

// Names lists the names of this machine's pools, sorted. The caller may not be allowed to open all
// of them, and some may be damaged.
func Names() ([]string, error) {
	entries, err := os.ReadDir(shm.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []string
	for _, entry := range entries {
		if name, ok := nameOfLedger(entry.Name()); ok {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list, nil
}
