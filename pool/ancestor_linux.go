package pool

import (
	"math"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/ledger"
	"golang.org/x/sys/unix"
)

// HeldByAncestor returns the lease inside which this process runs already, if it or one of its
// ancestors is the command of a lease, with its slots and what they stand for. Otherwise it returns
// no slots. Unlike HeldSlots it needs no environment variable: the process has inherited the guard,
// or the ledger names one of its ancestors.
func (p *Pool) HeldByAncestor() (id LeaseID, slots []int, items []string, err error) {
	err = p.use(func() error {
		if p.mem.InUse() == 0 {
			return nil
		}
		r := p.inheritedGuard()
		if r == 0 {
			r, err = p.commandAmongAncestors()
		}
		if r == 0 || err != nil {
			return err
		}
		rec, err := p.mem.At(r)
		if err != nil {
			return err
		}
		id = p.leaseID(r, rec)
		slots, items, err = p.HeldSlots(id)
		return err
	})
	return id, slots, items, err
}

// inheritedGuard returns the holder whose locked guard this process has inherited, 0 for nobody.
func (p *Pool) inheritedGuard() ledger.Ref {
	walk := p.ledgerDescriptors()
	defer walk.close()
	for walk.next() {
		if r, _ := p.guardedBy(walk.fd); r != 0 {
			return r
		}
	}
	return 0
}

// commandAmongAncestors returns the holder whose command is this process or an ancestor, 0 for
// nobody.
func (p *Pool) commandAmongAncestors() (ledger.Ref, error) {
	walk := p.ancestors()
	for walk.next() {
		// Of several holders with one pid, all but one were those of an earlier process.
		holders := p.mem.HoldersUnlocked()
		for holders.Next() {
			if p.commandOf(holders.Participant) == walk.found && holders.Extends.Load() == 0 && p.mayBeAncestor(holders.Participant, walk.below) && procIsOwn() {
				return holders.Ref, nil
			}
		}
	}
	return 0, walk.err
}

// mayBeAncestor reports whether the process that commandOf names is still the one that it was. A shell
// that holds slots by a descriptor also has to have that open still: it can have handed it to a child.
// below is when its child on the way to this process started: it can have started a child before it
// got its slots. Of one that it has started in the same tick, of 10 ms, that is not known.
func (p *Pool) mayBeAncestor(rec *ledger.Participant, below uint64) bool {
	if rec.Descriptor.Load() == 0 {
		return p.commandMayRun(rec)
	}
	seen := rec.CommandSeen.Load()
	return rec.TimeNamespace.Load() == p.self.timeNamespace && below >= seen && mayRun(rec.PID.Load(), seen) &&
		p.hasGuard(rec.PID.Load(), guardByte(rec.Ticket.Load()))
}

// An ancestorWalk finds the holders whose command has the pid of this process or of an ancestor. A
// command starts after its lease was acquired, and each ancestor before its child. So the walk ends
// at an ancestor that started before all leases. Most often that is the parent, so one look at the
// holders finds what there is to know about the first two. Its methods are bare Go.
type ancestorWalk struct {
	core     *core
	r        ledger.Ref // a holder
	found    int32      // the pid of its command
	pid      int32      // the next process to look at; 0 at the end
	start    uint64     // when the process before it started, in ticks
	below    uint64     // when the child of the holder's process started
	earliest uint64     // when the first lease was acquired, in ticks
	near     [2]command // of this process and of its parent
	err      error
}

// A command is the command of a holder.
type command struct {
	pid    int32
	holder ledger.Ref // 0: nobody's
}

func (c *core) ancestors() (walk ancestorWalk) {
	walk.core = c
	walk.near[0].pid = c.self.pid // the command may have exec'd this process
	walk.near[1].pid = int32(bare.Sys(unix.SYS_GETPPID, 0, 0, 0, 0))
	oldest := int64(math.MaxInt64)
	holders := c.mem.HoldersUnlocked()
	for holders.Next() {
		pid := c.commandOf(holders.Participant)
		if pid <= 0 {
			continue
		}
		oldest = min(oldest, holders.Acquired.Load())
		for i := range walk.near {
			if walk.near[i].pid == pid {
				walk.near[i].holder = holders.Ref
			}
		}
	}
	if walk.err = holders.Err; oldest != math.MaxInt64 && walk.err == nil {
		walk.pid, walk.start = c.self.pid, math.MaxUint64
		walk.earliest = uint64(max(oldest+int64(c.self.clock)-tick, 0)) / tick
	}
	return walk
}

func (w *ancestorWalk) next() bool {
	for w.pid > 0 {
		pid := w.pid
		w.below = w.start
		var path bare.StatPath
		process, ok := bare.ReadProcess(path.Of(pid))
		if w.pid, w.start = 0, process.Start; ok && process.Start >= w.earliest {
			w.pid = process.Parent
		}
		if w.r = w.holderOf(pid); w.r != 0 {
			w.found = pid
			return true
		}
	}
	return false
}

// holderOf returns a holder whose command has this pid, 0 for nobody.
func (w *ancestorWalk) holderOf(pid int32) ledger.Ref {
	for i := range w.near {
		if w.near[i].pid == pid {
			return w.near[i].holder
		}
	}
	holders := w.core.mem.HoldersUnlocked()
	for holders.Next() {
		if w.core.commandOf(holders.Participant) == pid {
			return holders.Ref
		}
	}
	return 0
}

// commandOf is the pid of a holder's command, or of the shell that holds the slots by a descriptor. It
// is 0 if there is none in this pid namespace.
func (c *core) commandOf(rec *ledger.Participant) int32 {
	if rec.PIDNamespace.Load() != c.self.pidNamespace {
		return 0
	}
	if rec.Descriptor.Load() != 0 {
		return rec.PID.Load()
	}
	return rec.CommandPID.Load()
}
