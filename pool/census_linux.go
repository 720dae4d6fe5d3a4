package pool

import (
	"bytes"
	"fmt"
	"os"
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
	locked map[ledger.Ref]locks // nil if the kernel is asked about everybody
}

// locks says which of a participant's locks are held.
type locks struct{ claim, guard bool }

// censusFrom is the number of participants from which on the list is read.
const censusFrom = 32

func (p *Pool) takeCensus(participants int) census {
	if participants < censusFrom {
		return census{pool: p}
	}
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		return census{pool: p}
	}
	return census{p, parseLocks(text, p.object.Device, p.object.Inode)}
}

// parseLocks picks the locks on one file out of /proc/locks. Its lines look like
//
//	1: OFDLCK ADVISORY  WRITE -1 00:1b:1234 1099511627776 1099511627776
func parseLocks(text []byte, device, inode uint64) map[ledger.Ref]locks {
	file := fmt.Appendf(nil, "%02x:%02x:%d", unix.Major(device), unix.Minor(device), inode)
	locked := map[ledger.Ref]locks{}
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) != 8 || string(fields[1]) != "OFDLCK" || !bytes.Equal(fields[5], file) {
			continue
		}
		first, err1 := strconv.ParseInt(string(fields[6]), 10, 64)
		last, err2 := strconv.ParseInt(string(fields[7]), 10, 64)
		if err1 != nil || err2 != nil || first < claimByte(1) || last > guardByte(MaxParticipants) {
			continue
		}
		for at := first; at <= last; at++ { // the kernel joins neighbouring locks of one owner
			r := ledger.Ref((at-claimByte(1))/2) + 1
			l := locked[r]
			if at == claimByte(r) {
				l.claim = true
			} else {
				l.guard = true
			}
			locked[r] = l
		}
	}
	return locked
}

func (c census) isLocked(r ledger.Ref) (bool, error) {
	if l := c.locked[r]; l.claim || l.guard {
		return true, nil
	}
	return c.pool.isLocked(r)
}

func (c census) isClaimed(r ledger.Ref) (bool, error) {
	if c.locked[r].claim {
		return true, nil
	}
	return c.pool.isClaimed(r)
}
