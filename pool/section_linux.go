package pool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/poolrun/poolrun/internal/crash"
	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/shm"
	"golang.org/x/sys/unix"
)

// A section is a stretch of a program, most often a shell script, that holds slots by a descriptor of
// the ledger that the program has opened itself. The guard is locked on that open file description,
// so the slots are held until its last copy is closed, and no process of poolrun stays.

// Path is the path of the file to open for HandOver: the pool's ledger.
func Path(name string) (string, error) {
	name, err := CheckName(name)
	return shm.Path(ledgerFile(name)), err
}

// OpenByDescriptor opens the pool whose ledger this process has open as a descriptor. It returns
// ErrInvalid if the descriptor is none of a pool's ledger, and errors as from Open.
func OpenByDescriptor(fd int) (*Pool, error) {
	invalid := func(why error) error {
		return &Error{fmt.Sprintf("descriptor %d", fd), ErrInvalid, why}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, invalid(errors.New("it is not open"))
	}
	// The link has another directory if that of the objects is mounted elsewhere too.
	link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil, invalid(err)
	}
	if st.Nlink == 0 {
		link = strings.TrimSuffix(link, " (deleted)")
	}
	name, isLedger := nameOfLedger(filepath.Base(link))
	if !isLedger {
		return nil, invalid(errors.New("it is not the file of a pool"))
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err == nil && flags&unix.O_ACCMODE == unix.O_WRONLY {
		return nil, invalid(fmt.Errorf("it is open for writing only, and to open a file like that empties it: open pool %s with %d<", name, fd))
	}
	p, err := Open(name)
	if err != nil {
		return nil, err
	}
	if !p.isLedger(&st) {
		p.Close()
		return nil, invalid(fmt.Errorf("pool %s was destroyed, or is another one by now", name))
	}
	return p, nil
}

// HandOver hands the lease over to a descriptor of the pool's ledger: the slots are held until the last
// copy of it, in whatever process, is closed, or until ReleaseDescriptor. Status shows this pid for
// them. The lease is released, as far as this process is concerned. It returns ErrInvalid, with
// nothing changed, if slots are held by the descriptor already.
//
// If the process is killed on the way, the slots are held by the descriptor or by nobody.
func (l *Lease) HandOver(fd, pid int) error {
	return l.use(func() error {
		p := l.pool
		// Under the ledger lock, so that only one of two callers succeeds.
		return p.update(p.open, lockLimit, func() error {
			if err := p.checkUnused(fd); err != nil {
				return err
			}
			l.rec.PID.Store(int32(pid))
			l.rec.CommandSeen.Store(ticks())
			l.rec.Descriptor.Store(1)
			crash.Point("descriptor noted")
			if err := lockGuard(fd, l.id); err != nil {
				return err
			}
			crash.Point("descriptor locked")
			p.abandon(l.holding) // the guard alone counts from now on
			l.released = true
			return nil
		})
	})
}

// Join makes a descriptor of the pool's ledger hold the slots of a lease too, which has to be held by an
// ancestor: they are held until the last copy of it is closed as well, or until ReleaseDescriptor. But if
// the lease is one of a poolrun that lives, it ends with that. It returns ErrInvalid as HandOver does,
// and fs.ErrNotExist if the lease is not held any more.
func (p *Pool) Join(id LeaseID, fd int) error {
	return p.use(func() error {
		return p.update(p.open, lockLimit, func() error {
			if err := p.checkUnused(fd); err != nil {
				return err
			}
			if _, held := p.names(id); !held {
				return fs.ErrNotExist
			}
			return lockGuard(fd, id)
		})
	})
}

// checkUnused returns ErrInvalid if slots are held by a descriptor already.
func (p *Pool) checkUnused(fd int) error {
	r, err := p.guardedBy(fd)
	if r != 0 && err == nil {
		err = &Error{fmt.Sprintf("descriptor %d", fd), ErrInvalid, fmt.Errorf("it holds a slot of pool %s already", p.name)}
	}
	return err
}

// ReleaseDescriptor gives back the slots that are held by a descriptor, and leaves it open. If others
// hold them too, these keep them. It returns fs.ErrNotExist if the descriptor holds none by HandOver or
// Join. If the change fails after the guard is unlocked, the slots are taken back as those of a dead
// holder.
func (p *Pool) ReleaseDescriptor(fd int) error {
	return p.use(func() error {
		return p.update(p.open, lockLimit, func() error {
			r, err := p.guardedBy(fd)
			if err != nil {
				return err
			}
			if r == 0 {
				return fs.ErrNotExist
			}
			rec, err := p.mem.At(r)
			if err != nil {
				return err
			}
			h := holding{id: p.leaseID(r, rec), rec: rec}
			guard := guardByte(h.id.ticket)
			// A descriptor's own locks do not show through it.
			others, err := shm.IsLocked(fd, guard, 1)
			if err != nil {
				return err
			}
			if rec.Descriptor.Load() == 0 && !others {
				// It is the guard that a command has inherited, unless the command got none.
				others, err = p.isClaimed(rec)
				if !others || rec.Guarded.Load() != 0 || err != nil {
					return cmp.Or(err, fs.ErrNotExist)
				}
			}
			if err := shm.SetLock(fd, shm.Unlocked, guard); err != nil || others {
				return err
			}
			crash.Point("descriptor unlocked")
			return p.end(h, ledger.OpGive, ledger.CountReleased)
		})
	})
}
