package ledger

// What the ledger keeps beside the participants' records says nothing that the records do not say:
// the line, the list of free records, who holds which slot, how many slots are in use, who drains
// the pool. A change keeps it up to date with one exit and one enter. Rebuild makes it anew.

// enter adds a participant to what is derived from its being in a state.
func (l *Ledger) enter(r Ref, rec *Participant, s State) error {
	switch s {
	case StateFree:
		rec.Extends.Store(0) // a process of version 0.1.0 may get the record, and does not know these
		rec.LongLived.Store(0)
		rec.next.Store(l.free.Load())
		l.free.Store(r)
	case StateWaiting:
		return l.link(r, rec)
	case StateHeld:
		n, err := rec.Slots()
		if err != nil {
			return err
		}
		return l.assign(r, n)
	case StateDraining:
		l.drainer.Store(r)
	}
	return nil
}

// exit takes a participant out of what is derived from its being in a state.
func (l *Ledger) exit(r Ref, rec *Participant, s State) error {
	switch s {
	case StateFree:
		if l.free.Load() == r {
			l.free.Store(rec.next.Load())
		} else {
			l.used.Store(r)
		}
	case StateWaiting:
		return l.unlink(r, rec)
	case StateHeld:
		return l.unassign(r, rec)
	case StateDraining:
		l.drainer.Store(0)
	}
	return nil
}

// PeekFree returns the record that the next participant gets, 0 if there is none.
func (l *Ledger) PeekFree() (r Ref, rec *Participant, err error) {
	if r = l.free.Load(); r == 0 {
		if r = l.Used() + 1; r > MaxParticipants {
			return 0, nil, nil
		}
	}
	rec, err = l.At(r)
	if err == nil && rec.State.Load() != StateFree {
		err = errFree
	}
	return r, rec, err
}

// Rebuild makes everything that is derived anew. Holders keep the slots that they have.
func (l *Ledger) Rebuild() error {
	used := l.used.Load()
	if used > MaxParticipants {
		return errUsed
	}
	// A crash can come between the state of a new record and the mark of its use.
	if used < MaxParticipants && l.participants[used].State.Load() != StateFree {
		used++
		l.used.Store(used)
	}

	l.free.Store(0)
	l.first.Store(0)
	l.last.Store(0)
	l.waiting.Store(0)
	l.sleepers.Store(0)
	l.drainer.Store(0)
	l.inUse.Store(0)
	var kept [MaxParticipants + 1]uint16
	l.keepSlots(&kept)
	for r := used; r > 0; r-- { // downwards, so that the lowest free record comes first
		rec := &l.participants[r-1]
		switch s := rec.State.Load(); s {
		case StateHeld:
			weight, err := rec.Slots()
			if err != nil {
				return err
			}
			l.inUse.Add(uint32(kept[r]))
			if err := l.assign(r, weight-int(kept[r])); err != nil {
				return err
			}
		case StateFree, StateDraining:
			if err := l.enter(r, rec, s); err != nil {
				return err
			}
		case StateWaiting:
		default:
			return errState
		}
	}
	for r := Ref(1); r <= used; r++ { // upwards, which is most often the order of the line
		if rec := &l.participants[r-1]; rec.State.Load() == StateWaiting {
			if err := l.link(r, rec); err != nil {
				return err
			}
		}
	}
	return nil
}

// FreeAll makes all records free. It is for a ledger of which no participant is alive.
func (l *Ledger) FreeAll() error {
	for i := range l.participants {
		l.participants[i].State.Store(StateFree)
	}
	l.debt.Store(0)
	l.intent.op.Store(OpNone)
	return l.Rebuild()
}
