package pool

import (
	"syscall"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/shm"
)

// maxHeldBytes limits the length of a list of leases, because execve(2) limits the length of one
// string and of the whole environment.
const maxHeldBytes = 4096

// ListHeld lists the leases inside which the command of a lease runs: the latest of each other pool
// in the list outer that may still be held, and the lease itself. So the list does not grow when
// commands start their own successors. If it gets too long, the oldest are dropped. ParseLeaseIDs
// reads it.
func ListHeld(id LeaseID, outer string) (list string) {
	var buffer [maxHeldBytes]byte
	text := bare.In(buffer[:])
	var err error
	defer shm.CatchFault(&err, shm.PanicOnFault())
	list = id.String() // in case that a file is truncated in this moment
	writeHeld(&text, id, outer)
	return text.String()
}

// writeHeld is ListHeld in bare Go.
func writeHeld(text *bare.Text, id LeaseID, outer string) {
	var parts [64]string // the latest
	n := 0
	for next := (leaseIDs{text: outer}); next.cut(); n++ {
		if n == len(parts) {
			n--
			for i := range n { // copy would call the runtime
				parts[i] = parts[i+1]
			}
		}
		parts[n] = next.part
	}
	var buffer [maxLeaseID]byte
	own := bare.In(buffer[:])
	id.write(&own)
	room := maxHeldBytes - len(own.String())
	for i := n - 1; i >= 0; i-- {
		if isListed(id.Pool, parts[i+1:n], parts[i]) || !mayBeHeld(parts[i]) {
			parts[i] = ""
		} else if room -= len(parts[i]); room < 0 {
			parts[i] = ""
			room = 0
		}
	}
	for i := range n {
		text.Add(parts[i])
	}
	text.Add(own.String())
}

// isListed reports whether a lease is one on a pool of which another is listed.
func isListed(pool string, others []string, part string) bool {
	next := leaseIDs{text: part}
	next.cut()
	if next.id.Pool == pool {
		return true
	}
	for i := range others {
		other := leaseIDs{text: others[i]}
		if other.cut() && other.id.Pool == next.id.Pool {
			return true
		}
	}
	return false
}

// mayBeHeld reports whether the record of a lease still says that it is held. A lease on a pool that
// this user may not open counts as held, because a command that runs as another user may be able to
// look. It is bare Go.
func mayBeHeld(part string) bool {
	next := leaseIDs{text: part}
	var c core
	if !next.cut() || !IsName(next.id.Pool) {
		return false
	}
	refusal, errno := c.openLedger(next.id.Pool)
	if refusal != shm.Accepted || errno != 0 {
		return refusal == shm.IsUntrusted || errno == syscall.EACCES || errno == syscall.EPERM
	}
	c.name, c.mem.Ledger = next.id.Pool, shm.View[ledger.Ledger](&c.object)
	c.id = c.mem.ID.Load()
	_, held := c.names(next.id)
	held = held && c.mem.Check() == nil && c.mem.Life.Load() == ledger.LifeAlive
	c.object.Release()
	return held
}

// openLedger is bare Go. It opens the file of a pool's ledger.
func (c *core) openLedger(name string) (shm.Refusal, syscall.Errno) {
	var buffer [len(ledgerPrefix) + maxNameBytes]byte
	file := bare.In(buffer[:])
	file.Add(ledgerPrefix)
	file.Add(name[1:])
	return c.object.TryOpen(file.String(), ledger.Size, shm.ReadWrite)
}
