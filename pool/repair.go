package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/sem"
	"github.com/poolrun/poolrun/internal/shm"
)

// A Report says what Repair has found.
type Report struct {
	Mended []string // and corrected
	Left   []string // and left alone: the pool is not sound
}

func (r *Report) mended(format string, args ...any) {
	r.Mended = append(r.Mended, fmt.Sprintf(format, args...))
}

func (r *Report) left(format string, args ...any) {
	r.Left = append(r.Left, fmt.Sprintf(format, args...))
}

// Repair checks a pool and mends what is certain: a change that was cut off by the death of its
// author, the dead wherever they stand, everything in the ledger that can be rebuilt, and tokens
// that were posted without having been taken. If the semaphore was removed, it is made again from
// the ledger, unless a process is seen that uses the pool. If the ledger was removed, it is made
// again from the semaphore's value, unless another process has that open.
//
// Tokens that are missing may be a foreign program's. They are put back if no other process has the
// semaphore open, in whatever namespace, or by force. Force also reaps holders whose command cannot
// be seen from here.
//
// Repair returns an error if there is nothing that it can repair: ErrNotExist, ErrNameTaken (if
// there is only a semaphore that was not made for a pool), ErrPermission, ErrStuck, or ErrDamaged
// if the ledger's header makes no sense.
func Repair(name string, force bool) (r Report, err error) {
	name, err = CheckName(name)
	if err != nil {
		return r, err
	}
	p, err := openLedger(name, shm.Manage)
	if errors.Is(err, ErrNotExist) && shm.Exists(sem.File(name)) {
		err = r.remakeLedger(name)
		return r, err
	}
	if err != nil {
		return r, err
	}
	defer p.Close()
	repair := r.repair
	if err := p.openGate(shm.Manage); errors.Is(err, ErrDamaged) {
		repair = r.remakeGate
	} else if err != nil {
		return r, err
	}
	err = p.use(func() error {
		return p.locked(context.Background(), lockLimit, func() error {
			if err := p.mem.Check(); err != nil {
				return err
			}
			return repair(p, force)
		})
	})
	return r, err
}

// repair mends a pool that has both of its files.
func (r *Report) repair(p *Pool, force bool) error {
	wasCutOff := p.mem.HasIntent()
	faults := p.inspect()
	if err := p.mem.ClearUnreadable(p.isLocked); err != nil {
		return err
	}
	if len(faults) > 0 || p.mem.HasSenselessIntent() {
		p.mem.AnnounceRebuild()
	}
	if _, err := p.mem.Mend(); err != nil {
		return err
	}
	if wasCutOff {
		r.mended("a change was cut off by the death of its author")
	}
	left := p.inspect()
	for _, fault := range faults {
		if !slices.Contains(left, fault) {
			r.mended("%s", fault)
		}
	}
	for _, fault := range left {
		r.left("%s", fault)
	}
	if len(left) > 0 {
		return nil
	}
	// The balance comes first: it counts the dead among the holders, and what they give back must
	// find room.
	if err := r.balance(p, force); err != nil {
		return err
	}
	return r.reap(p, force)
}

func (p *Pool) inspect() (faults []ledger.Fault) {
	p.mem.Inspect(func(f ledger.Fault) { faults = append(faults, f) })
	return faults
}

// reap reaps the dead wherever they stand. By force it also reaps holders whose command can only be
// seen in another pid namespace.
func (r *Report) reap(p *Pool, force bool) error {
	for i := ledger.Ref(1); i <= p.mem.Used(); i++ {
		rec, err := p.mem.At(i)
		if err != nil {
			return err
		}
		state := rec.State.Load()
		if state == ledger.StateFree {
			continue
		}
		locked, err := p.isLocked(rec)
		if err != nil {
			return err
		}
		elsewhere := rec.PIDNamespace.Load() != p.self.pidNamespace
		if locked || p.commandMayRun(rec) && !(force && elsewhere) {
			continue
		}
		what := map[ledger.State]string{
			ledger.StateHeld:     "holding " + count(int(rec.Weight.Load()), "slot"),
			ledger.StateWaiting:  "in line",
			ledger.StateDraining: "while it drained the pool",
		}[state]
		if err := p.reap(i, rec); err != nil {
			return err
		}
		r.mended("process %d died %s", rec.PID.Load(), what)
	}
	return nil
}

// balance compares the semaphore's value with what it has to be according to the ledger.
func (r *Report) balance(p *Pool, force bool) error {
	missing := p.missing()
	if missing == 0 {
		return nil
	}
	if !force && p.areTaken(missing) {
		who := ""
		if pids := p.foreignUsers(); len(pids) > 0 { // /proc may not show all
			who = fmt.Sprintf(" (perhaps one of the processes %v)", pids)
		}
		r.left("%s missing: a program that has the semaphore open may hold them%s", count(missing, "slot"), who)
		return nil
	}
	if err := p.mem.Resize(ledger.Tokens{Gate: missing, Size: p.mem.Size(), Debt: p.mem.Debt()}); err != nil {
		return err
	}
	switch {
	case missing > 0 && force:
		r.mended("%s missing: put back by force", count(missing, "slot"))
	case missing > 0:
		r.mended("%s missing: a program has exited without returning what it took", count(missing, "slot"))
	default:
		r.mended("%s too many: the semaphore was posted without having been taken", count(-missing, "slot"))
	}
	return nil
}

// remakeGate makes a semaphore for a ledger that has lost its own, with the ledger's owner, group
// and mode. A process that still has the old semaphore open may hold a slot by it.
func (r *Report) remakeGate(p *Pool, force bool) error {
	if shm.Exists(sem.File(p.name)) {
		r.left("its semaphore was replaced by another, which belongs to no pool")
		return nil
	}
	for i := ledger.Ref(1); i <= p.mem.Used(); i++ {
		rec, err := p.mem.At(i)
		if err != nil {
			return err
		}
		if locked, err := p.isLocked(rec); err != nil {
			return err
		} else if locked || p.commandMayRun(rec) {
			r.left("its semaphore was removed while process %d uses the pool: repair it when that process has ended", rec.PID.Load())
			return nil
		}
	}
	if pids := usersOf(p.object.Device, p.mem.GateInode.Load()); len(pids) > 0 && !force {
		r.left("its semaphore was removed while processes %v have it open: repair it when they have ended", pids)
		return nil
	}
	if err := p.mem.FreeAll(); err != nil { // nobody is alive
		return err
	}
	gate, err := makeGate(p.mem.Size(), p.object.Mode, p.object.Owner)
	if err != nil {
		return err
	}
	defer gate.Close()
	// If the process is killed here, the pool is as damaged as before.
	p.mem.GateInode.Store(gate.Inode)
	if err := gate.Link(sem.File(p.name)); err != nil {
		return err
	}
	r.mended("its semaphore was removed: it was made again")
	return nil
}

// remakeLedger makes a ledger for a pool's semaphore that has lost its own, with the semaphore's
// owner, group and mode.
func (r *Report) remakeLedger(name string) (err error) {
	defer func() { err = explain(name, err) }()
	gate, err := sem.Open(name, shm.Manage)
	if err != nil {
		return err
	}
	defer gate.Close()
	defer shm.CatchFault(&err, shm.PanicOnFault())
	if tag := gate.Tag(); tag != sem.TagPool {
		return &Error{name, ErrNameTaken, fmt.Errorf("the semaphore of that name belongs to %s, and there is no ledger", tag)}
	}
	value := gate.Value()
	if value < 1 || value > MaxSlots || !gate.IsOnlyUser() {
		r.left("its ledger was removed, and the semaphore, of value %d, is in use", value)
		return nil
	}
	if err := create(name, Config{Size: value, Mode: gate.Mode}, gate.Owner, gate); err != nil {
		return err
	}
	r.mended("its ledger was removed: the pool was made again, with %s, as many as were free", count(value, "slot"))
	return nil
}
