package pool

import (
	"github.com/poolrun/poolrun/internal/bare"
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
	var buffer [maxLeaseID]byte
	text := bare.In(buffer[:])
	id.write(&text)
	return text.String()
}

// maxLeaseID is how long the text of a LeaseID can be.
const maxLeaseID = 1 + maxNameBytes + 1 + 16 + 1 + 10 + 1 + 20

// write is bare Go.
func (id LeaseID) write(text *bare.Text) {
	text.Add(id.Pool)
	text.AddByte('/')
	text.AddNumber(id.pool, 16)
	text.AddByte('/')
	text.AddNumber(uint64(id.r), 10)
	text.AddByte('/')
	text.AddNumber(id.ticket, 10)
}

// ParseLeaseIDs parses the texts of any number of lease IDs in a row. It skips what is not one: a
// lease that cannot be named is not held.
func ParseLeaseIDs(text string) []LeaseID {
	var ids []LeaseID
	for next := (leaseIDs{text: text}); next.cut(); {
		ids = append(ids, next.id)
	}
	return ids
}

// leaseIDs cuts lease IDs off a text. It is bare Go.
type leaseIDs struct {
	text string // what is left

	id   LeaseID // the one that was cut off last
	part string  // its text
}

// cut cuts the next lease ID off. It reports false if there is none.
func (l *leaseIDs) cut() bool {
	for {
		whole := l.text
		name, ok1 := l.cutField()
		pool, ok2 := l.cutField()
		r, ok3 := l.cutField()
		ticket, ok4 := l.cutField()
		if !ok1 || !ok2 || !ok3 || !ok4 {
			return false
		}
		l.part = whole[:len(whole)-len(l.text)]
		l.id.Pool = whole[:1+len(name)]
		var okPool, okRef, okTicket bool
		var ref uint64
		l.id.pool, okPool = bare.Number(pool, 16)
		ref, okRef = bare.Number(r, 10)
		l.id.r = ledger.Ref(ref)
		l.id.ticket, okTicket = bare.Number(ticket, 10)
		if okPool && okRef && okTicket && ref < 1<<32 {
			return true
		}
	}
}

// cutField cuts a slash and the text up to the next one off.
func (l *leaseIDs) cutField() (field string, ok bool) {
	if l.text == "" || l.text[0] != '/' {
		return "", false
	}
	end := 1
	for end < len(l.text) && l.text[end] != '/' {
		end++
	}
	field, l.text = l.text[1:end], l.text[end:]
	return field, true
}

// HeldSlots returns the slots of a lease on this pool, and what they stand for. It returns no slots
// if the lease is one on another pool, or is not held any more.
func (p *Pool) HeldSlots(id LeaseID) (slots []int, items []string, err error) {
	err = p.use(func() error {
		h, held := p.names(id)
		if !held {
			return nil
		}
		dead, err := p.isDead(h.rec)
		if !dead && err == nil {
			slots = p.slotsOf(h)
			items = p.itemsOf(slots)
		}
		return err
	})
	return slots, items, err
}

// slotsOf lists a holder's slots in ascending order.
func (p *Pool) slotsOf(h holding) []int {
	slots := make([]int, min(h.rec.Weight.Load(), MaxSlots))
	return slots[:p.listSlots(h, slots)]
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
