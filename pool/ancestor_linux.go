package pool

import (
	"bytes"
	"math"
	"strconv"

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
// proc_pid_fdinfo(5) shows the locks of a descriptor. Guards are numbered upwards without a gap,
// unless the command has closed one.
func (p *Pool) inheritedGuard() ledger.Ref {
	for fd := highDescriptor; ; fd++ {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil {
			return 0
		}
		if st.Dev != p.object.Device || st.Ino != p.object.Inode {
			continue
		}
		text, err := readProc("/proc/self/fdinfo/" + strconv.Itoa(fd))
		if err != nil {
			continue
		}
		text = bytes.ReplaceAll(text, []byte("lock:"), nil)
		for r, locks := range parseLocks(text, st.Dev, st.Ino) {
			if locks.guard {
				return r
			}
		}
	}
}

// commandAmongAncestors returns the holder whose command is this process or an ancestor, 0 for
// nobody. A command starts after its lease was acquired, and each ancestor before its child. So the
// search ends at an ancestor that started before all leases.
func (p *Pool) commandAmongAncestors() (ledger.Ref, error) {
	commands := map[int32]ledger.Ref{}
	oldest := int64(math.MaxInt64)
	walk := p.mem.Holders()
	for walk.Next() {
		if pid := walk.CommandPID.Load(); pid > 0 && walk.PIDNamespace.Load() == p.self.pidNamespace {
			commands[pid] = walk.Ref
			oldest = min(oldest, walk.Acquired.Load())
		}
	}
	if len(commands) == 0 || walk.Err != nil {
		return 0, walk.Err
	}
	earliest := uint64(max(oldest+int64(p.self.clock)-tick, 0)) / tick
	for pid := p.self.pid; pid > 0; { // this process first: the command may have exec'd it
		rec, err := p.mem.At(commands[pid])
		if err == nil && p.commandMayRun(rec) && procIsOwn() {
			return commands[pid], nil
		}
		stat, err := readStat(statPath(pid))
		if err != nil || stat.start < earliest {
			break
		}
		pid = stat.parent
	}
	return 0, nil
}
