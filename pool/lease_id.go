package pool

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/poolrun/poolrun/internal/ledger"
)

// A LeaseID names a lease across processes: a child that knows it can find out whether the lease is
// still held. Its text is /POOL/ID/RECORD/TICKET. Several texts in a row are unambiguous, since a
// pool's name contains no second slash.
type LeaseID struct {
	Pool   string
	pool   uint64 // the ledger's ID
	r      ledger.Ref
	ticket uint64
}

// ID names the lease.
func (l *Lease) ID() LeaseID { return l.id }

// Hold is the former name of ID, for programs that use it.
func (l *Lease) Hold() LeaseID { return l.id }

func (id LeaseID) String() string {
	return fmt.Sprintf("%s/%x/%d/%d", id.Pool, id.pool, id.r, id.ticket)
}

// ParseLeaseIDs parses the texts of any number of lease IDs in a row. It skips what is not one: a
// lease that cannot be named is not held.
func ParseLeaseIDs(text string) []LeaseID {
	var ids []LeaseID
	fields := strings.Split(text, "/")
	for fields = fields[1:]; len(fields) >= 4; fields = fields[4:] {
		pool, err1 := strconv.ParseUint(fields[1], 16, 64)
		r, err2 := strconv.ParseUint(fields[2], 10, 32)
		ticket, err3 := strconv.ParseUint(fields[3], 10, 64)
		if err1 == nil && err2 == nil && err3 == nil {
			ids = append(ids, LeaseID{"/" + fields[0], pool, ledger.Ref(r), ticket})
		}
	}
	return ids
}

// HeldSlots returns the slots of a lease on this pool, and what they stand for. It returns no slots
// if the lease is one on another pool, or is not held any more.
func (p *Pool) HeldSlots(id LeaseID) (slots []int, items []string, err error) {
	err = p.use(func() error {
		rec, err := p.mem.At(id.r)
		if err != nil || id.Pool != p.name || id.pool != p.id ||
			rec.State.Load() != ledger.StateHeld || rec.Ticket.Load() != id.ticket {
			return nil
		}
		dead, err := p.isDead(id.r, rec)
		if !dead && err == nil {
			slots = p.slotsOf(id.r, rec)
			items = p.itemsOf(slots)
		}
		return err
	})
	return slots, items, err
}

// slotsOf lists a participant's slots in ascending order.
func (p *Pool) slotsOf(r ledger.Ref, rec *ledger.Participant) []int {
	slots := make([]int, 0, 1)
	weight := int(rec.Weight.Load())
	for i := p.mem.NextSlot(r, 0); i >= 0; i = p.mem.NextSlot(r, i+1) {
		if slots = append(slots, i); len(slots) == weight {
			break
		}
	}
	return slots
}

// itemsOf lists what slots stand for: nothing if the pool has no items.
func (p *Pool) itemsOf(slots []int) (items []string) {
	if p.mem.HasItems() {
		for _, i := range slots {
			items = append(items, string(p.mem.Item(i)))
		}
	}
	return items
}
