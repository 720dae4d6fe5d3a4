package pool

import (
	"time"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/crash"
	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/sem"
	"github.com/poolrun/poolrun/internal/shm"
	"golang.org/x/sys/unix"
)

// A core is an open pool, as far as an ordinary run needs it. Its methods are bare Go: Direct calls
// them before the Go runtime has started, and the methods of Pool call the same ones. They wait for
// nothing, and none of them looks at whether others are alive.
type core struct {
	name   string
	object shm.Object    // the ledger: one open file description for its lock and the claim
	mem    ledger.Memory // the ledger and the gate
	probe  int           // the ledger again, only to ask for locks
	id     uint64        // the ledger's, as it was when the pool was opened
	self   identity

	claimed uint64 // the number of this open pool's claim, 0 for none: see claim
}

// attach prepares a core whose object is open and whose identity is known.
func (c *core) attach(name string) (err error) {
	c.name, c.mem.Clock = name, c.self.clock
	c.mem.Ledger = shm.View[ledger.Ledger](&c.object)
	c.id = c.mem.ID.Load()
	c.probe, err = c.object.Reopen(unix.O_RDONLY)
	return err
}

// A holding is what a holder has in the ledger.
type holding struct {
	id   LeaseID
	rec  *ledger.Participant
	slot int // its lowest slot
}

// take takes slots for a newcomer, under the ledger lock, or returns why it cannot, with nothing
// changed. The dead may be the reason: see Pool.takeAtOnce.
func (c *core) take(req request) (h holding, err error) {
	size, weight := c.mem.Size(), c.weightOf(req)
	switch {
	case c.mem.Life.Load() != ledger.LifeAlive:
		return h, ErrDestroyed
	case c.mem.Drainer() != 0:
		return h, ErrDraining
	case size > 0 && weight > size: // a pool of size 0 is paused, and will have another size
		return h, ErrTooHeavy
	}
	if next, err := c.mem.IsNext(req.rank(), req.longLived); err != nil {
		return h, err
	} else if !next {
		return h, errBehind
	}
	if !c.fits(weight) {
		return h, ErrBusy
	}
	if c.heldBack(req, weight) != "" || req.unmet != "" || c.mem.DelayLeft(c.mem.Clock.Now()) > 0 {
		return h, ErrNotYet
	}
	if h, err = c.claimRecord(req); err != nil {
		return h, err
	}
	h.slot, err = c.takeSlots(h, 0)
	return h, err
}

// weightOf is how many slots a request asks for now. In a paused pool the whole pool counts as one.
func (c *core) weightOf(req request) int {
	if req.whole {
		return max(c.mem.Size(), 1)
	}
	return req.weight
}

// fits reports whether so many slots are free: by the semaphore, of which foreign programs take
// their share, and by the ledger, since a foreign program can post what it never took.
func (c *core) fits(weight int) bool {
	return c.mem.Gate.Value() >= weight && c.mem.InUse()+weight <= c.mem.Size()
}

// claimRecord fills in a free record, and claims it. It stays free: if the process is killed, nothing
// has happened.
func (c *core) claimRecord(req request) (h holding, err error) {
	r, rec, err := c.mem.PeekFree()
	if r == 0 && err == nil {
		err = ErrFull
	}
	if err != nil {
		return h, err
	}
	ticket := c.mem.Ticket.Add(1)
	if err := c.claim(ticket); err != nil {
		return h, err
	}
	crash.Point("claimed")
	rec.Weight.Store(uint32(c.weightOf(req)))
	rec.Whole.Store(0)
	if req.whole {
		rec.Whole.Store(1)
	}
	rec.Priority.Store(int32(req.priority))
	rec.Ticket.Store(ticket)
	rec.Claim.Store(c.claimed)
	rec.Aside.Store(0)
	rec.PID.Store(c.self.pid)
	rec.PIDNamespace.Store(c.self.pidNamespace)
	rec.TimeNamespace.Store(c.self.timeNamespace)
	rec.UID.Store(c.self.uid)
	rec.CommandPID.Store(0)
	rec.CommandSeen.Store(0)
	rec.Since.Store(c.mem.Clock.Now())
	rec.Acquired.Store(0)
	rec.Seen.Store(0)
	rec.Bell.Store(r)
	rec.Leaving.Store(ledger.CountCancelled)
	rec.Guarded.Store(0)
	rec.Descriptor.Store(0)
	rec.Extends.Store(req.extends)
	rec.LongLived.Store(0)
	if req.longLived {
		rec.LongLived.Store(1)
	}
	rec.SetCommand(req.command)
	rec.SetCondition("")
	crash.Point("record filled in")
	return holding{id: c.leaseID(r, rec), rec: rec}, nil
}

func (c *core) leaseID(r ledger.Ref, rec *ledger.Participant) LeaseID {
	return LeaseID{c.name, c.id, r, rec.Ticket.Load()}
}

// takeSlots makes a holder of a newcomer or of the first in line, and returns its lowest slot. If a
// foreign program was faster, it returns ErrBusy, and nothing has changed.
func (c *core) takeSlots(h holding, waited time.Duration) (slot int, err error) {
	h.rec.Acquired.Store(h.rec.Since.Load() + int64(waited))
	if err := c.mem.Change(ledger.OpTake, h.id.r, ledger.CountAcquired); err == sem.ErrWouldBlock {
		return -1, ErrBusy
	} else if err != nil {
		return -1, err
	}
	c.mem.LastStart.Store(c.mem.Clock.Now()) // killed before this, the holder has started nothing
	c.mem.Waits.Observe(waited)
	if slot = c.mem.NextSlot(h.id.r, 0); slot < 0 { // somebody is scribbling
		return slot, ledger.ErrSlots
	}
	return slot, nil
}

// listSlots lists a holder's slots in ascending order, as many as fit the list. It returns how many.
func (c *core) listSlots(h holding, list []int) (n int) {
	for i := h.slot; i >= 0 && n < len(list); i = c.mem.NextSlot(h.id.r, i+1) {
		list[n] = i
		n++
	}
	return n
}

// end ends a participation of this process by an operation, under the ledger lock. If that fails, the
// participation is given up.
func (c *core) end(h holding, op ledger.Op, counter ledger.Counter) (err error) {
	if h.rec.Ticket.Load() != h.id.ticket || h.rec.State.Load() == ledger.StateFree {
		return errNotOwn
	}
	if err = c.mem.Change(op, h.id.r, counter); err != nil {
		c.abandon(h)
	}
	return err
}

// names reports whether a lease is one on this pool, and as far as its record says is held.
func (c *core) names(id LeaseID) (h holding, held bool) {
	rec, err := c.mem.At(id.r)
	held = err == nil && id.Pool == c.name && id.pool == c.id &&
		rec.State.Load() == ledger.StateHeld && rec.Ticket.Load() == id.ticket
	return holding{id, rec, c.mem.NextSlot(id.r, 0)}, held
}

// setCommand notes the pid of a command that exists. Nobody will see whether a command that this
// process itself becomes closes the guard. So the guard will be no evidence: see commandMayRun.
func (c *core) setCommand(rec *ledger.Participant, pid int32) {
	if pid == c.self.pid {
		rec.Guarded.Store(0)
	}
	rec.CommandPID.Store(pid)
	rec.CommandSeen.Store(ticks())
}

// isOpenIn reports whether a process has the ledger open as this descriptor. It also reports false
// if this process may not look (proc_pid_fd(5)).
func (c *core) isOpenIn(pid int32, fd int) bool {
	var buffer [64]byte
	path := bare.In(buffer[:])
	path.Add("/proc/")
	path.AddNumber(uint64(max(pid, 0)), 10)
	path.Add("/fd/")
	path.AddNumber(uint64(fd), 10)
	path.End()
	var st unix.Stat_t
	return bare.Stat(&buffer[0], &st) == 0 && c.isLedger(&st)
}

// isLedger reports whether a file is this pool's ledger.
func (c *core) isLedger(st *unix.Stat_t) bool {
	return st.Dev == c.object.Device && st.Ino == c.object.Inode
}
