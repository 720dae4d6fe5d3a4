package pool

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"unsafe"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/ledger"
	"golang.org/x/sys/unix"
)

// A descriptorWalk goes through the descriptors of this process that are the ledger and not this open
// pool's own: guards that it has inherited. Its methods are bare Go.
//
//	walk := c.ledgerDescriptors()
//	for walk.next() { ... walk.fd ... }
//	walk.close()
type descriptorWalk struct {
	fd  int
	err error

	core      *core
	directory int // /proc/self/fd
	buffer    [1024]byte
	at, end   int // of the entries in the buffer that were not looked at
}

func (c *core) ledgerDescriptors() (walk descriptorWalk) {
	walk.core = c
	walk.directory = bare.Sys(unix.SYS_OPENAT, bare.AtCWD, bare.Pointer(bare.C("/proc/self/fd\x00")),
		unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	walk.err = bare.Error(bare.Errno(walk.directory))
	return walk
}

func (w *descriptorWalk) next() bool {
	for w.directory >= 0 {
		if w.at >= w.end {
			w.at, w.end = 0, bare.Sys(unix.SYS_GETDENTS64, uintptr(w.directory), bare.Pointer(&w.buffer), uintptr(len(w.buffer)), 0)
			if w.end <= 0 {
				w.err = bare.Error(bare.Errno(w.end))
				break
			}
		}
		number, isNumber := bare.Number(w.entry(), 10)
		var st unix.Stat_t
		if w.fd = int(number); isNumber && w.fd != w.core.object.FD && w.fd != w.core.probe &&
			bare.Sys(unix.SYS_FSTAT, uintptr(w.fd), bare.Pointer(&st), 0, 0) == 0 && w.core.isLedger(&st) {
			return true
		}
	}
	return false
}

func (w *descriptorWalk) close() {
	if w.directory >= 0 {
		bare.Sys(unix.SYS_CLOSE, uintptr(w.directory), 0, 0, 0)
	}
}

// entry takes the next entry out of the buffer, a linux_dirent64 of getdents(2), and returns its name.
func (w *descriptorWalk) entry() (name string) {
	const lengthAt, nameAt = 16, 19
	if w.at < 0 || w.end > len(w.buffer) || w.end-w.at < nameAt {
		w.at = w.end
		return ""
	}
	entry := unsafe.Pointer(&w.buffer[w.at])
	w.at += max(int(*(*uint16)(unsafe.Add(entry, lengthAt))), nameAt)
	return bare.String((*byte)(unsafe.Add(entry, nameAt)))
}

// locksOf lists the locks of a descriptor of a process on the ledger (proc_pid_fdinfo(5)).
func (p *Pool) locksOf(process, fd string) ([]span, error) {
	text, err := readProc("/proc/" + process + "/fdinfo/" + fd)
	if err != nil {
		return nil, err
	}
	return p.locksIn(bytes.NewReader(text)), nil
}

// guardedBy returns the holder whose guard is locked through a descriptor of this process, 0 for
// nobody.
func (p *Pool) guardedBy(fd int) (ledger.Ref, error) {
	locks, err := p.locksOf("self", strconv.Itoa(fd))
	if err != nil {
		return 0, err
	}
	for _, lock := range locks {
		holders := p.mem.HoldersUnlocked()
		for holders.Next() {
			if guardByte(holders.Ticket.Load()) == lock.first && holders.Extends.Load() == 0 {
				return holders.Ref, nil
			}
		}
	}
	return 0, nil
}

// openLedgers calls look with each descriptor of a process that is the ledger, as far as this process
// may look, until it returns true. It reports whether that was so.
func (p *Pool) openLedgers(pid int32, look func(fd string) bool) bool {
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(int(pid)) + "/fd")
	if err != nil {
		return false
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && p.isOpenIn(pid, fd) && look(entry.Name()) {
			return true
		}
	}
	return false
}

func (p *Pool) hasOpen(pid int32) bool {
	return p.openLedgers(pid, func(string) bool { return true })
}

// hasGuard reports whether a process has a descriptor through which this guard is locked, as far as
// this process may look.
func (p *Pool) hasGuard(pid int32, guard int64) bool {
	return p.openLedgers(pid, func(fd string) bool {
		locks, _ := p.locksOf(strconv.Itoa(int(pid)), fd)
		return slices.Contains(locks, span{guard, guard})
	})
}
