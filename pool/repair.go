package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/poolrun/poolrun/gate"
	"github.com/poolrun/poolrun/internal/shm"
)

// Findings are what Repair has found.
type Findings struct {
	Mended []string // and put right
	Left   []string // and left alone: the pool is not sound
}

func (f *Findings) mended(format string, args ...any) {
	f.Mended = append(f.Mended, fmt.Sprintf(format, args...))
}

func (f *Findings) left(format string, args ...any) {
	f.Left = append(f.Left, fmt.Sprintf(format, args...))
}

// Repair checks a pool and mends what is certain: a change whose author has died,
// dead participants wherever they stand, everything in the ledger that can be
// rebuilt, tokens that were posted and never taken. A semaphore that was removed
// is made again from the ledger if no process is seen that uses the pool; a ledger that
// was removed, from the semaphore's value if no process has that mapped.
//
// Tokens that are missing may be a foreign program's. They are put back if no other
// process has the semaphore open, in whatever namespace, or by force.
//
// An error means that there is nothing to repair: ErrNotExist, ErrRefused (also where
// there is only a semaphore that was not made for a pool), or ErrDamaged where the
// ledger's header makes no sense.
func Repair(name string, force bool) (f Findings, err error) {
	name, err = CheckName(name)
	if err != nil {
		return f, err
	}
	p, err := openLedger(name, shm.Manage)
	if errors.Is(err, ErrNotExist) && gate.Exists(name) {
		return f, f.remakeLedger(name)
	}
	if err != nil {
		return f, err
	}
	defer p.Close()
	if err := p.openGate(shm.Manage); err != nil {
		if !errors.Is(err, ErrDamaged) || p.safely(p.ledger.check) != nil {
			return f, err
		}
		err = p.safely(func() error { return f.remakeGate(p, force) })
		return f, err
	}
	err = p.safely(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), lockWithin)
		defer cancel()
		if err := p.lock(ctx); err != nil {
			return p.orStuck(err)
		}
		defer p.unlock()
		if err := p.ledger.check(); err != nil {
			return err
		}
		return f.repair(p, force)
	})
	return f, err
}

// repair runs under the ledger lock.
func (f *Findings) repair(p *Pool, force bool) error {
	l := p.ledger
	op := l.intent.op.Load()
	if op != idle && !l.intent.makesSense() {
		l.intent.op.Store(idle)
		if err := p.announceRebuild(); err != nil {
			return err
		}
	}
	faults := l.inspect()
	if err := p.clearUnreadable(); err != nil {
		return err
	}
	if len(faults) > 0 {
		if err := p.announceRebuild(); err != nil {
			return err
		}
	}
	if _, err := p.mend(); err != nil {
		return err
	}
	if op != idle {
		f.mended("a change whose author had died")
	}
	faultsLeft := l.inspect()
	for _, fault := range faults {
		if !slices.Contains(faultsLeft, fault) {
			f.mended("%s", fault)
		}
	}
	for _, fault := range faultsLeft {
		f.left("%s", fault)
	}
	if len(faultsLeft) > 0 {
		return nil
	}
	// The balance first: it counts the dead among those who hold, and what they give
	// back must find room.
	if err := f.balance(p, force); err != nil {
		return err
	}
	return f.reap(p, force)
}

// announceRebuild writes an intent of which mend makes a rebuilding and nothing
// else: so the rebuilding can be killed anywhere and is done by the next one.
func (p *Pool) announceRebuild() error {
	l := p.ledger
	if l.intent.op.Load() != idle {
		return nil
	}
	parity, err := p.gate.Parity()
	if err != nil {
		return err
	}
	l.intent.participant.Store(0)
	l.intent.parity.Store(parity)
	l.intent.size.Store(l.size.Load())
	l.intent.debt.Store(l.debt.Load())
	l.intent.op.Store(resize)
	return nil
}

// clearUnreadable frees the records that make no sense and that nobody has
// locked, and puts what bounds the others right.
func (p *Pool) clearUnreadable() error {
	l := p.ledger
	if l.used.Load() > MaxParticipants {
		l.used.Store(MaxParticipants)
	}
	tickets := l.ticket.Load()
	for r := ref(1); r <= l.used.Load(); r++ {
		rec := l.at(r)
		weight := rec.weight.Load()
		if s := rec.state.Load(); s > draining || s != free && (weight < 1 || weight > MaxSlots) {
			locked, err := p.isLocked(r)
			if err != nil {
				return err
			}
			if !locked {
				rec.state.Store(free)
			}
		}
		if !isRecord(rec.bell.Load()) {
			rec.bell.Store(r) // its process hears it if it has one sleeper, or finds out at its next look
		}
		if rec.state.Load() != free {
			tickets = max(tickets, rec.ticket.Load())
		}
	}
	l.ticket.Store(tickets)
	return nil
}

// reap takes the dead out wherever they stand; by force also holders whose command
// can only be looked up in another pid namespace.
func (f *Findings) reap(p *Pool, force bool) error {
	l := p.ledger
	for r := ref(1); r <= l.used.Load(); r++ {
		s := l.at(r).state.Load()
		if s == free {
			continue
		}
		locked, err := p.isLocked(r)
		if err != nil {
			return err
		}
		elsewhere := l.at(r).pidNamespace.Load() != p.self.pidNamespace
		if locked || p.commandRuns(r) && !(force && elsewhere) {
			continue
		}
		pid, weight := l.at(r).pid.Load(), l.at(r).weight.Load()
		var what string
		switch s {
		case held:
			what = fmt.Sprintf("with %d slots", weight)
		case waiting:
			what = "in line"
		case draining:
			what = "draining the pool"
		}
		if err := p.reap(r); err != nil {
			return err
		}
		f.mended("process %d had died %s", pid, what)
	}
	return nil
}

// balance compares the semaphore's value with what the ledger says it has to be.
func (f *Findings) balance(p *Pool, force bool) error {
	missing, err := p.missing()
	if missing == 0 || err != nil {
		return err
	}
	// /proc may not show everybody; it only helps to say who it may be.
	if !force && p.isTaken(missing) {
		f.left("%d slots are missing: a program that has the semaphore open may hold them%s", missing, list(p.foreignUsers()))
		return nil
	}
	size, debt := int(p.ledger.size.Load()), int(p.ledger.debt.Load())
	if err := p.perform(resize, 0, nothing, tokens{gate: missing, size: size, debt: debt}); err != nil {
		return err
	}
	switch {
	case missing > 0 && force:
		f.mended("%d slots were missing, and were put back by force", missing)
	case missing > 0:
		f.mended("%d slots were missing: a program that took them has exited without returning them", missing)
	default:
		f.mended("%d slots too many were free: somebody posted what was never taken", -missing)
	}
	return nil
}

func list(pids []int) string {
	if len(pids) == 0 {
		return ""
	}
	return fmt.Sprintf(" (perhaps one of the processes %v)", pids)
}

// remakeGate makes a semaphore for a ledger that has lost its own, with the same
// owner, group and mode. A process that still has the old one open may hold a slot by it.
func (f *Findings) remakeGate(p *Pool, force bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), lockWithin)
	defer cancel()
	if err := p.lock(ctx); err != nil {
		return p.orStuck(err)
	}
	defer p.unlock()
	if gate.Exists(p.name) {
		f.left("its semaphore was replaced by another, which belongs to no pool")
		return nil
	}
	l := p.ledger
	for r := ref(1); r <= min(l.used.Load(), MaxParticipants); r++ {
		if locked, err := p.isLocked(r); err != nil || locked || p.commandRuns(r) {
			f.left("its semaphore was removed while process %d uses the pool: repair it when that has ended", l.at(r).pid.Load())
			return err
		}
	}
	if pids := usersOf(p.object.Device, l.gate.Load()); len(pids) > 0 && !force {
		f.left("its semaphore was removed while processes %v have it open: repair it when they have ended", pids)
		return nil
	}
	// Nobody is alive. So all records are free, whatever they say.
	for i := range l.participants {
		l.participants[i].state.Store(free)
	}
	l.debt.Store(0)
	l.intent.op.Store(idle)
	if err := p.rebuild(); err != nil {
		return err
	}
	sem, err := prepareGate(int(l.size.Load()), p.object.Mode, p.object.Owner)
	if err != nil {
		return p.fail(ErrRefused, err)
	}
	defer sem.Close()
	// If the process is killed here, the pool is as damaged as before.
	l.gate.Store(sem.Inode())
	if err := sem.Link(p.name); err != nil {
		return p.fail(ErrRefused, err)
	}
	f.mended("its semaphore was removed, and was made again")
	return nil
}

// remakeLedger makes a ledger for a pool's semaphore that has lost its own, with the
// same owner, group and mode.
func (f *Findings) remakeLedger(name string) error {
	sem, err := gate.OpenToManage(name)
	if err != nil {
		return fail(name, ErrRefused, err)
	}
	defer sem.Close()
	tag, err1 := sem.Tag()
	value, err2 := sem.Value()
	if err := errors.Join(err1, err2); err != nil {
		return fail(name, ErrDamaged, err)
	}
	if tag != gate.TagPool {
		return fail(name, ErrRefused, fmt.Errorf("it has no ledger, and the semaphore of that name belongs to %s", tag))
	}
	if value < 1 || value > MaxSlots || !sem.IsOnlyUser() {
		f.left("its ledger was removed, and the semaphore, of value %d, is in use", value)
		return nil
	}
	uid, gid := sem.Owner()
	if err := create(name, Config{Size: value, Mode: sem.Mode()}, shm.Owner{UID: uid, GID: gid}, sem); err != nil {
		return err
	}
	f.mended("its ledger was removed: the pool was made again, with the %d slots that were free", value)
	return nil
}
