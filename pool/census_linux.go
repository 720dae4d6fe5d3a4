package pool

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// A census knows which participants are alive, for one who has to know it of many. To
// ask for one lock after the other takes the square of their number: the kernel walks
// the list of the file's locks each time (posix_test_lock in fs/locks.c). So for many
// the list is read once, from /proc/locks (proc_locks(5)).
//
// That list changes while it is read. It is believed where it says that somebody is
// alive, which was true a moment ago; for all others the kernel is asked.
type census struct {
	p      *Pool
	locked map[ref]kinds // nil where the kernel is asked for everybody
}

// kinds says which of a participant's locks somebody holds.
type kinds struct{ claim, guard bool }

// From so many on, the list is read.
const censusFrom = 32

func (p *Pool) takeCensus(participants int) census {
	if participants < censusFrom {
		return census{p: p}
	}
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		return census{p: p}
	}
	return census{p, parseLocks(text, p.object.Device, p.object.Inode)}
}

// parseLocks picks the locks of one file out of /proc/locks, of which a line is
//
//	1: OFDLCK ADVISORY  WRITE -1 00:1b:1234 1099511627776 1099511627776
func parseLocks(text []byte, device, inode uint64) map[ref]kinds {
	file := fmt.Appendf(nil, "%02x:%02x:%d", unix.Major(device), unix.Minor(device), inode)
	locked := map[ref]kinds{}
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
		for at := first; at <= last; at++ { // the kernel joins neighbours of one owner
			r := ref((at-claimByte(1))/2) + 1
			k := locked[r]
			if at == claimByte(r) {
				k.claim = true
			} else {
				k.guard = true
			}
			locked[r] = k
		}
	}
	return locked
}

func (c census) isLocked(r ref) (bool, error) {
	if k := c.locked[r]; k.claim || k.guard {
		return true, nil
	}
	return c.p.isLocked(r)
}

func (c census) isClaimed(r ref) (bool, error) {
	if c.locked[r].claim {
		return true, nil
	}
	return c.p.isClaimed(r)
}
