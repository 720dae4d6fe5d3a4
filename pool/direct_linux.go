package pool

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/sem"
	"github.com/poolrun/poolrun/internal/shm"
	"golang.org/x/sys/unix"
)

// A Direct is a pool, and a lease on it, in a process whose Go runtime has not started yet. Its
// methods are bare Go (internal/bare). They take slots only if that is an ordinary matter: the pool
// is in order, nobody waits, and enough slots are free, or held by holders that are plainly dead. For
// everything else they report false, with nothing taken, and leave it to a Pool.
type Direct struct {
	core
	gate     sem.Sem
	nameText [1 + maxNameBytes]byte
	lease    holding
	slots    [MaxDirectWeight]int
	weight   int // how many slots are listed
	guard    int // descriptor, -1 for none
	isHeld   bool
}

// MaxDirectWeight is the weight up to which a Direct takes slots.
const MaxDirectWeight = 64

// Open opens a pool.
func (d *Direct) Open(name string) bool {
	d.guard, d.probe = -1, -1
	text := bare.In(d.nameText[:])
	text.AddByte('/')
	text.Add(strings.TrimPrefix(name, "/"))
	// NoteStart and CheckGuard have to be able to write to the file.
	var limit unix.Rlimit
	bare.Sys(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_FSIZE, 0, bare.Pointer(&limit))
	if limit.Cur < uint64(ledger.Size) {
		return false
	}
	if refusal, errno := d.openLedger(text.String()); refusal != shm.Accepted || errno != 0 {
		return false
	}
	if d.self.find() != nil || d.attach(text.String()) != nil || !d.openGate() {
		d.Close()
		return false
	}
	return true
}

func (d *Direct) openGate() bool {
	if d.mem.Check() != nil || d.mem.Life.Load() != ledger.LifeAlive || !d.gate.TryOpen(d.name, shm.ReadWrite) {
		return false
	}
	d.mem.Gate = &d.gate
	return d.gate.Inode == d.mem.GateInode.Load()
}

// Close closes the pool, which must be open, and forgets it.
func (d *Direct) Close() {
	for _, fd := range [...]int{d.probe, d.guard} {
		if fd >= 0 {
			bare.Sys(unix.SYS_CLOSE, uintptr(fd), 0, 0, 0)
		}
	}
	if d.mem.Gate != nil {
		d.gate.Release()
		d.mem.Gate = nil
	}
	d.object.Release()
}

// Name is the pool's name, with its leading slash, and Size its number of slots.
func (d *Direct) Name() string { return d.name }
func (d *Direct) Size() int    { return d.mem.Size() }

// Nest looks whether this process runs inside a lease on this pool. outer is a list of leases, as
// ListHeld makes it. If the list names a lease that is held, isNested is true, and the lease can be
// described. If anything else hints at one, certain is false.
func (d *Direct) Nest(outer string) (isNested, certain bool) {
	for next := (leaseIDs{text: outer}); next.cut(); {
		if h, held := d.names(next.id); held {
			locked, err := d.isLocked(h.rec)
			d.lease, d.weight = h, d.listSlots(h, d.slots[:])
			return true, locked && err == nil && d.weight > 0
		}
	}
	if d.mem.InUse() == 0 {
		return false, true
	}
	ancestors := d.ancestors()
	if ancestors.next() || ancestors.err != nil {
		return false, false
	}
	guards := d.ledgerDescriptors()
	certain = !guards.next() && guards.err == nil
	guards.close()
	return false, certain
}

// Take takes slots.
func (d *Direct) Take(weight, priority int, command string) bool {
	if locked, err := shm.TryLockOften(d.object.FD); !locked || err != nil {
		return false
	}
	if d.mem.Check() == nil && !d.mem.HasIntent() && d.mem.Debt() == 0 && !d.mem.HasLine() {
		req := request{weight: weight, priority: priority, command: command}
		var err error
		if !d.fits(weight) {
			err = d.reapFew()
		}
		var h holding
		if err == nil {
			h, err = d.take(req)
		}
		d.lease = h
		if d.isHeld = err == nil && h.rec != nil && h.slot >= 0; d.isHeld {
			d.weight = d.listSlots(h, d.slots[:weight])
		}
	}
	shm.Unlock(d.object.FD)
	return d.isHeld
}

// reapFew reaps dead holders, under the ledger lock. With --no-fork every command leaves one. It
// looks at a few holders only, because the lock is held.
func (d *Direct) reapFew() (err error) {
	const few = 8
	holders := d.mem.Holders()
	for n := 0; n < few && err == nil && holders.Next(); n++ {
		if d.isPlainlyDead(holders.Participant) {
			err = d.reap(holders.Ref, holders.Participant)
		}
	}
	return err
}

// OpenGuard makes a descriptor for the guard, before the slots are taken.
func (d *Direct) OpenGuard() bool {
	var err error
	d.guard, err = d.openGuard()
	return err == nil
}

// LockGuard locks the guard, and returns its descriptor: see Lease.Guard. It is -1 if OpenGuard was
// not called.
func (d *Direct) LockGuard() (fd int, ok bool) {
	if d.guard >= 0 {
		if lockGuard(d.guard, d.lease.id) != nil {
			bare.Sys(unix.SYS_CLOSE, uintptr(d.guard), 0, 0, 0)
			d.guard = -1
			return -1, false
		}
		d.lease.rec.Guarded.Store(1)
	}
	return d.guard, true
}

// IsHeld reports whether slots were taken, and not released yet.
func (d *Direct) IsHeld() bool { return d.isHeld }

// CommandPID is the place in shared memory for the command's pid: see Lease.CommandPID. It is nil if
// no slots were taken.
func (d *Direct) CommandPID() *atomic.Int32 {
	if !d.isHeld {
		return nil
	}
	return &d.lease.rec.CommandPID
}

// NoteExec notes that this process is about to exec the command: see Lease.SetCommandPID.
func (d *Direct) NoteExec() { d.setCommand(d.lease.rec, d.self.pid) }

// NoteStart and CheckGuard are called while the command runs, and must not end its supervision if
// somebody has truncated the ledger. So they write to its file instead of its memory.

// NoteStart notes that the command runs: see Lease.SetCommandPID.
func (d *Direct) NoteStart() {
	now := ticks()
	d.write(unsafe.Offsetof(d.lease.rec.CommandSeen), bare.Pointer(&now), unsafe.Sizeof(now))
}

// CheckGuard is Lease.CheckGuard for a command.
func (d *Direct) CheckGuard(pid int) (open bool) {
	open = d.guard >= 0 && d.isOpenIn(int32(pid), d.guard)
	if !open {
		no := uint32(0)
		d.write(unsafe.Offsetof(d.lease.rec.Guarded), bare.Pointer(&no), unsafe.Sizeof(no))
	}
	return open
}

// write writes to a field of the lease's record in the ledger's file.
func (d *Direct) write(field, from, size uintptr) {
	record := uintptr(unsafe.Pointer(d.lease.rec)) - uintptr(unsafe.Pointer(d.mem.Ledger))
	bare.Sys(unix.SYS_PWRITE64, uintptr(d.object.FD), from, size, record+field)
}

// Slots are the numbers of the lease's slots.
func (d *Direct) Slots() []int { return d.slots[:d.weight] }

// Item is what a slot stands for, in shared memory, if the slots of the pool stand for something.
func (d *Direct) Item(slot int) (text []byte, ok bool) {
	if !d.mem.HasItems() {
		return nil, false
	}
	return d.mem.Item(slot), true
}

// WriteHeld is ListHeld for the lease.
func (d *Direct) WriteHeld(text *bare.Text, outer string) { writeHeld(text, d.lease.id, outer) }

// Release gives the slots back: see Lease.Release.
func (d *Direct) Release() (err error) {
	d.isHeld = false
	if d.guard >= 0 {
		closeGuard(d.guard, d.lease.id)
		d.guard = -1
	}
	if !d.lock() {
		d.abandon(d.lease)
		return errStuck
	}
	if err = d.mem.Check(); err == nil {
		_, err = d.mem.Mend() // a dead author is left to the next process
	}
	if err == nil {
		err = d.end(d.lease, ledger.OpGive, ledger.CountReleased)
	} else {
		d.abandon(d.lease)
	}
	shm.Unlock(d.object.FD)
	return err
}

var errStuck error = problem("another process has held its lock for 5s and may be stopped")

// lock takes the ledger lock, for which it waits up to lockLimit. On a busy machine, one look takes
// much longer than the pause, so the clock decides when it gives up.
func (d *Direct) lock() bool {
	for end := bare.BootTime() + int64(lockLimit); ; {
		isLast := bare.BootTime() >= end // this process may have been stopped for that long
		if locked, err := shm.TryLockOften(d.object.FD); locked || err != nil || isLast {
			return locked
		}
		pause := unix.Timespec{Nsec: int64(time.Millisecond)}
		bare.Sys(unix.SYS_NANOSLEEP, bare.Pointer(&pause), 0, 0, 0)
	}
}

// IsLost is Pool.IsLost.
func (d *Direct) IsLost() bool {
	return d.mem.Life.Load() == ledger.LifeAlive && !d.object.HasName()
}

// Adopt makes a Pool and a Lease of a Direct that holds slots, after the Go runtime has started. It
// returns nil if the Direct holds none. It is not bare Go.
func (d *Direct) Adopt() (p *Pool, lease *Lease) {
	if !d.isHeld {
		return nil, nil
	}
	d.isHeld = false
	p = newHandle(d.core)
	lease = &Lease{pool: p, holding: d.lease, slots: slices.Clone(d.Slots()), guard: d.guard}
	p.use(func() error {
		lease.items = p.itemsOf(lease.slots)
		return nil
	})
	if lease.guard >= 0 {
		p.listGuard(lease, true)
	}
	return p, lease
}
