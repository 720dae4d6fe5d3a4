package pool

import (
	"bytes"
	"math"
	"strconv"

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
// proc_pid_fdinfo(5) shows the locks of a descriptor.
func (p *Pool) inheritedGuard() ledger.Ref {
	for fd := p.firstLedger(); fd >= 0; fd = p.nextLedger(fd + 1) {
		text, err := readProc("/proc/self/fdinfo/" + strconv.Itoa(fd))
		if err != nil {
			continue
		}
		for _, lock := range p.locksIn(bytes.NewReader(text)) {
			holders := p.mem.HoldersUnlocked()
			for holders.Next() {
				if guardByte(holders.Ticket.Load()) == lock.first {
					return holders.Ref
				}
			}
		}
	}
	return 0
}

// firstLedger is nextLedger from where guards begin: see openGuard. It is bare Go.
func (c *core) firstLedger() (fd int) {
	fd = -1
	for from := highDescriptor; fd < 0 && from > 2; from /= 2 {
		fd = c.nextLedger(from)
	}
	return fd
}

// nextLedger returns the first descriptor of this process, from fd on, that is the ledger and not this
// open pool's own, or -1. It ends at the first closed descriptor: guards are numbered upwards without
// a gap, unless the command has closed one. It is bare Go.
func (c *core) nextLedger(fd int) int {
	for ; ; fd++ {
		var st unix.Stat_t
		if bare.Sys(unix.SYS_FSTAT, uintptr(fd), bare.Pointer(&st), 0, 0) != 0 {
			return -1
		}
		if c.isLedger(&st) && fd != c.object.FD && fd != c.probe {
			return fd
		}
	}
}

// commandAmongAncestors returns the holder whose command is this process or an ancestor, 0 for
// nobody.
func (p *Pool) commandAmongAncestors() (ledger.Ref, error) {
	walk := p.ancestors()
	for walk.next() {
		rec, err := p.mem.At(walk.r)
		if err == nil && p.commandMayRun(rec) && procIsOwn() {
			return walk.r, nil
		}
	}
	return 0, walk.err
}

// An ancestorWalk finds the holders whose command has the pid of this process or of an ancestor. A
// command starts after its lease was acquired, and each ancestor before its child. So the walk ends
// at an ancestor that started before all leases. Most often that is the parent, so one look at the
// holders finds what there is to know about the first two. Its methods are bare Go.
type ancestorWalk struct {
	core     *core
	r        ledger.Ref // the holder
	pid      int32      // the next process to look at; 0 at the end
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
		walk.pid = c.self.pid
		walk.earliest = uint64(max(oldest+int64(c.self.clock)-tick, 0)) / tick
	}
	return walk
}

func (w *ancestorWalk) next() bool {
	for w.pid > 0 {
		pid := w.pid
		var path statPath
		if stat, ok := readStat(path.of(pid)); ok && stat.start >= w.earliest {
			w.pid = stat.parent
		} else {
			w.pid = 0
		}
		if w.r = w.holderOf(pid); w.r != 0 {
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

// commandOf is the pid of a holder's command, 0 if it has none in this pid namespace.
func (c *core) commandOf(rec *ledger.Participant) int32 {
	if rec.PIDNamespace.Load() != c.self.pidNamespace {
		return 0
	}
	return rec.CommandPID.Load()
}
