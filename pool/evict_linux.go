package pool

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/ledger"
	"golang.org/x/sys/unix"
)

// Signal sends a signal to the process that holds a slot: to its command, if there is one, and
// otherwise to the process itself. It returns that process's pid. It never signals a process that has
// got the pid later. Errors are ErrInvalid for a slot that the pool does not have, ErrFree if nobody
// holds the slot, ErrUnavailable if the process has ended or is in another namespace, ErrPermission
// if the caller may not signal it, and ErrStuck.
func (p *Pool) Signal(slot int, n syscall.Signal) (pid int, err error) {
	err = p.use(func() error {
		if _, _, err := p.reapHolders(p.open, lockLimit); err != nil {
			return err
		}
		for try := range 100 {
			err := p.update(p.open, lockLimit, func() error {
				pid, err = p.signal(slot, n)
				return err
			})
			if err != errStarting || try == 99 {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		return nil
	})
	return pid, err
}

// errStarting says that a holder's command runs, and its supervisor has not noted so yet.
var errStarting error = problem("the command is being started")

// signal opens a pidfd, checks that it is of the process that the record means, and signals through
// it. A pidfd never means another process (pidfd_open(2)). It runs under the ledger lock, so that the
// slot cannot get another holder in between.
func (p *Pool) signal(slot int, n syscall.Signal) (pid int, err error) {
	r := p.mem.Holder(slot)
	if size := p.mem.Size(); slot < 0 || slot >= size && r == 0 {
		return 0, &Error{fmt.Sprintf("slot %d", slot), ErrInvalid, fmt.Errorf("pool %s has %s, from 0 on", p.name, count(size, "slot"))}
	}
	if r == 0 {
		return 0, &Error{p.name, ErrFree, fmt.Errorf("slot %d is free", slot)}
	}
	rec, err := p.mem.At(r)
	if err != nil {
		return 0, err
	}
	pid, latest, err := p.processOf(rec)
	if err != nil {
		return 0, err
	}
	ended := &Error{p.name, ErrUnavailable, fmt.Errorf("process %d has ended, and what it has left behind holds slot %d", pid, slot)}
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return 0, ended
	}
	if err == nil {
		defer unix.Close(fd)
		var path bare.StatPath
		if process, ok := bare.ReadProcess(path.Of(int32(pid))); ok && process.Start <= latest {
			if err = unix.PidfdSendSignal(fd, 0, nil, 0); err == nil { // the kernel lets this user signal it
				if !p.takesPart(int32(pid), process.Parent) {
					return 0, &Error{p.name, ErrPermission, fmt.Errorf("process %d does not show that it holds slot %d, and the ledger may lie", pid, slot)}
				}
				err = unix.PidfdSendSignal(fd, n, nil, 0)
			}
		} else if err = unix.PidfdSendSignal(fd, 0, nil, 0); ok || err != unix.EPERM { // not hidden (hidepid in proc(5))
			return 0, ended
		}
	}
	if err != nil {
		return 0, &Error{p.name, kindOf(err), fmt.Errorf("cannot signal process %d: %w", pid, err)}
	}
	return pid, nil
}

// takesPart reports whether a process, or its parent, has the ledger open. It is asked only for another
// user's pool: a user who may write to a ledger must not be able to direct root's signal to any process.
func (p *Pool) takesPart(pid, parent int32) bool {
	return p.object.Owner.UID == unix.Geteuid() || p.hasOpen(pid) || p.hasOpen(parent)
}

// processOf returns the pid of a holder's command, or of the holder itself if it has none, and the
// latest moment at which that process can have started, in ticks.
func (p *Pool) processOf(rec *ledger.Participant) (pid int, latest uint64, err error) {
	pid, latest = int(rec.CommandPID.Load()), rec.CommandSeen.Load()
	isNoted := pid > 0 || rec.Descriptor.Load() != 0
	if pid <= 0 {
		pid = int(rec.PID.Load())
	}
	switch {
	case pid <= 0 || rec.PIDNamespace.Load() != p.self.pidNamespace || !procIsOwn(): // the parent of process 1 is 0
		return 0, 0, &Error{p.name, ErrUnavailable, fmt.Errorf("process %d is in another pid namespace", pid)}
	case !isNoted: // it has started before it came
		latest = uint64(max(rec.Since.Load()+int64(p.mem.Clock), 0)) / tick
	case rec.TimeNamespace.Load() != p.self.timeNamespace:
		return 0, 0, &Error{p.name, ErrUnavailable, errors.New("the holder is in another time namespace")}
	case latest == 0:
		return 0, 0, errStarting
	}
	return pid, latest, nil
}
