package ledger

import "github.com/poolrun/poolrun/internal/crash"

// Who holds which slot. A slot's number is from 0 to the size less one. It is higher only if the
// pool has shrunk under its holder.

// Holder is the participant that holds slot i, 0 for nobody.
func (l *Ledger) Holder(i int) Ref {
	if uint(i) >= MaxSlots {
		return 0
	}
	return l.holders[i].Load()
}

// NextSlot is the lowest slot of a participant from number i on, or -1.
func (l *Ledger) NextSlot(r Ref, i int) int {
	for ; uint(i) < MaxSlots; i++ {
		if l.holders[i].Load() == r {
			return i
		}
	}
	return -1
}

// assign gives a participant the n lowest free slots.
func (l *Ledger) assign(r Ref, n int) error {
	l.inUse.Add(uint32(n))
	for i := 0; n > 0; i++ {
		if i = l.NextSlot(0, i); i < 0 {
			return errTooFew
		}
		l.holders[i].Store(r)
		crash.Point("slot assigned")
		n--
	}
	return nil
}

// unassign takes all its slots from a participant.
func (l *Ledger) unassign(r Ref, rec *Participant) error {
	n, err := rec.Slots()
	if err != nil {
		return err
	}
	for i := 0; n > 0; i++ {
		if i = l.NextSlot(r, i); i < 0 {
			return ErrSlots
		}
		l.holders[i].Store(0)
		crash.Point("slot freed")
		l.inUse.Add(^uint32(0))
		n--
	}
	return nil
}

// keepSlots frees every slot whose participant holds none, or more than its weight. It counts what
// each participant keeps.
func (l *Ledger) keepSlots(kept *[MaxParticipants + 1]uint16) {
	used := l.Used()
	for i := range l.holders {
		r := l.holders[i].Load()
		if r == 0 {
			continue
		}
		rec, err := l.At(r)
		if err == nil && r <= used && rec.State.Load() == StateHeld && uint32(kept[r]) < rec.Weight.Load() {
			kept[r]++
		} else {
			l.holders[i].Store(0)
		}
	}
}

// A HolderWalk goes through the participants that hold slots, in the order of their first slots. It
// is used like a Walk.
type HolderWalk struct {
	Ref Ref
	*Participant
	Err error

	ledger   *Ledger
	slot     int  // the next to look at
	left     int  // slots in use that were not seen yet
	end      int  // look at all slots below this one, even if none is left
	unlocked bool // others change the ledger meanwhile
}

// Holders begins a walk through the holders.
func (l *Ledger) Holders() HolderWalk { return HolderWalk{ledger: l, left: l.InUse()} }

// HoldersUnlocked begins a walk for a caller without the ledger lock. While others come and go, the
// walk finds every holder that stays. Only in a pool that has shrunk below that holder's slot, it may
// miss it.
func (l *Ledger) HoldersUnlocked() HolderWalk {
	return HolderWalk{ledger: l, left: l.InUse(), end: l.Size(), unlocked: true}
}

// Next goes to the next holder. It reports false behind the last one, and at damage.
func (w *HolderWalk) Next() bool {
	for w.Err == nil && w.slot < MaxSlots && (w.left > 0 || w.slot < w.end) {
		i := w.slot
		w.slot++
		r := w.ledger.Holder(i)
		if r == 0 {
			continue
		}
		w.left--
		if w.Participant, w.Err = w.ledger.At(r); w.Err != nil {
			break
		}
		if w.State.Load() != StateHeld {
			if w.unlocked { // the holder is leaving
				continue
			}
			w.Err = errHolder
			break
		}
		if w.Weight.Load() == 1 || w.ledger.NextSlot(r, 0) == i {
			w.Ref = r
			return true
		}
	}
	return false
}
