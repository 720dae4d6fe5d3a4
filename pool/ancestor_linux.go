package pool

import (
	"bytes"
	"math"
	"strconv"

	"golang.org/x/sys/unix"
)

// HeldByAncestor returns the lease inside which this process runs already, if an
// ancestor of it is the command of one, with its slots and what they stand for; no
// slots otherwise. Unlike HeldSlots it needs nobody to hand a name on: the process has
// inherited the guard, or the ledger names one of its ancestors.
func (p *Pool) HeldByAncestor() (h Hold, slots []int, items []string, err error) {
	err = p.use(func() error {
		if p.ledger.inUse.Load() == 0 {
			return nil
		}
		r := p.inheritedGuard()
		if r == 0 {
			r = p.commandAmongAncestors()
		}
		if r == 0 {
			return nil
		}
		h = Hold{p.name, p.id, r, p.ledger.at(r).ticket.Load()}
		slots, items, err = p.HeldSlots(h)
		return err
	})
	return h, slots, items, err
}

// inheritedGuard returns the holder of which this process has inherited a locked guard,
// 0 for nobody: proc_pid_fdinfo(5) shows the locks of a descriptor. Guards are numbered
// upwards without a gap, unless the command has closed one.
func (p *Pool) inheritedGuard() ref {
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
		for r, kinds := range parseLocks(text, st.Dev, st.Ino) {
			if kinds.guard {
				return r
			}
		}
	}
}

// commandAmongAncestors returns the holder whose command is this process or an ancestor,
// 0 for nobody. A command starts after its lease was acquired, and each ancestor before
// its child; so nobody is looked at who started before all leases.
func (p *Pool) commandAmongAncestors() ref {
	l := p.ledger
	commands := map[int32]ref{}
	oldest := int64(math.MaxInt64)
	for r := range l.holding {
		rec := l.at(r)
		if pid := rec.commandPID.Load(); pid > 0 && rec.pidNamespace.Load() == p.self.pidNamespace {
			commands[pid] = r
			oldest = min(oldest, rec.acquired.Load())
		}
	}
	if len(commands) == 0 {
		return 0
	}
	const tick = 1e9 / 100 // see ticks
	earliest := uint64(max(oldest+p.self.bootOffset-tick, 0)) / tick
	isCommand := func(pid int32) bool { return commands[pid] != 0 && p.commandRuns(commands[pid]) && procIsOurs() }
	if self := int32(unix.Getpid()); isCommand(self) { // it was exec'd by the command
		return commands[self]
	}
	for pid := int32(unix.Getppid()); pid > 0; {
		stat, err := readStat(statPath(pid))
		if err != nil || stat.start < earliest {
			return 0
		}
		if isCommand(pid) {
			return commands[pid]
		}
		pid = stat.parent
	}
	return 0
}
