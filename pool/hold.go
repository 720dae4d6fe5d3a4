package pool

import (
	"fmt"
	"strconv"
	"strings"
)

// A Hold names a lease across processes: a child that is told of it can find out
// whether it is still held. Its text is /POOL/ID/RECORD/TICKET: unambiguous,
// also where several stand in a row, since no pool's name has a second slash.
type Hold struct {
	Pool   string
	id     uint64
	r      ref
	ticket uint64
}

// Hold names the lease.
func (l *Lease) Hold() Hold { return Hold{l.pool.name, l.pool.id, l.r, l.ticket} }

func (h Hold) String() string {
	return fmt.Sprintf("%s/%x/%d/%d", h.Pool, h.id, h.r, h.ticket)
}

// ParseHolds reads the texts of any number of holds in a row. What is not one is
// passed over: a hold that cannot be read is one that is not held.
func ParseHolds(text string) []Hold {
	var holds []Hold
	fields := strings.Split(text, "/")
	for fields = fields[1:]; len(fields) >= 4; fields = fields[4:] {
		id, err1 := strconv.ParseUint(fields[1], 16, 64)
		r, err2 := strconv.ParseUint(fields[2], 10, 32)
		ticket, err3 := strconv.ParseUint(fields[3], 10, 64)
		if err1 == nil && err2 == nil && err3 == nil {
			holds = append(holds, Hold{"/" + fields[0], id, ref(r), ticket})
		}
	}
	return holds
}

// HeldSlots returns the slots of a hold on this pool, and what they stand for;
// no slots where it is a hold on another pool, or has been given back.
func (p *Pool) HeldSlots(h Hold) (slots []int, items []string, err error) {
	if h.Pool != p.name || h.id != p.id || h.r == 0 || h.r > MaxParticipants {
		return nil, nil, nil
	}
	err = p.use(func() error {
		l := Lease{pool: p, r: h.r, ticket: h.ticket}
		if !l.isHeld() {
			return nil
		}
		if dead, err := p.isDead(h.r); dead || err != nil {
			return err
		}
		slots = p.ledger.slotsOf(h.r)
		items = p.ledger.itemsOf(slots)
		return nil
	})
	return slots, items, err
}
