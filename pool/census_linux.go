package pool

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"github.com/poolrun/poolrun/internal/ledger"
	"golang.org/x/sys/unix"
)

// A census knows which participants are alive, for a caller that asks about many. Asking the kernel
// about one lock after the other takes the square of their number: it walks the list of the file's
// locks each time (posix_test_lock in fs/locks.c). So for many participants the whole list is read
// once, from /proc/locks (proc_locks(5)).
//
// That list changes while it is read. If it shows a lock, the participant was alive a moment ago.
// For all others the kernel is asked.
type census struct {
	pool   *Pool
	locked []span // sorted; nil if the kernel is asked about everybody
}

// A span is the first and the last of some locked bytes.
type span struct{ first, last int64 }

// censusFrom is the number of participants from which on the list is read.
const censusFrom = 32

func (p *Pool) takeCensus(participants int) census {
	c := census{pool: p}
	if participants < censusFrom {
		return c
	}
	file, err := os.Open("/proc/locks")
	if err != nil {
		return c
	}
	defer file.Close()
	c.locked = p.locksIn(file)
	slices.SortFunc(c.locked, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	return c
}

// locksIn picks the locks on this pool's ledger out of /proc/locks, or of a file of
// proc_pid_fdinfo(5). Their lines end like
//
//	1: OFDLCK ADVISORY  WRITE -1 00:1b:1234 1099511627776 1099511627776
//
// A line with "->" is of a process that waits for a lock.
func (p *Pool) locksIn(list io.Reader) (locked []span) {
	device := p.object.Device
	file := fmt.Appendf(nil, " %02x:%02x:%d ", unix.Major(device), unix.Minor(device), p.object.Inode)
	for lines := bufio.NewScanner(list); lines.Scan(); {
		head, tail, found := bytes.Cut(lines.Bytes(), file)
		if !found || !bytes.Contains(head, []byte(" OFDLCK ")) || bytes.Contains(head, []byte("->")) {
			continue
		}
		first, last, _ := bytes.Cut(tail, []byte(" "))
		var s span
		var err1, err2 error
		s.first, err1 = strconv.ParseInt(string(first), 10, 64)
		s.last, err2 = strconv.ParseInt(string(last), 10, 64)
		if err1 == nil && err2 == nil {
			locked = append(locked, s)
		}
	}
	return locked
}

// shows reports whether the list shows a lock on a byte.
func (c census) shows(at int64) bool {
	i, found := slices.BinarySearchFunc(c.locked, at, func(s span, at int64) int { return cmp.Compare(s.first, at) })
	return found || i > 0 && c.locked[i-1].last >= at
}

func (c census) isLocked(rec *ledger.Participant) (bool, error) {
	if n := rec.Claim.Load(); n != 0 && c.shows(claimByte(n)) || c.shows(guardByte(rec.Ticket.Load())) {
		return true, nil
	}
	return c.pool.isLocked(rec)
}

func (c census) isClaimed(rec *ledger.Participant) (bool, error) {
	if n := rec.Claim.Load(); n != 0 && c.shows(claimByte(n)) {
		return true, nil
	}
	return c.pool.isClaimed(rec)
}
