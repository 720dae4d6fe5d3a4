package pool

// Who holds which slot. A slot's number is between 0 and the size; above it only
// where the pool has shrunk under its holder.

// assign gives a participant the n lowest free slots.
func (l *ledger) assign(r ref, n int) {
	l.inUse.Add(uint32(n))
	for i := 0; n > 0; i++ {
		if i == MaxSlots {
			panic(damaged("participant %d is to hold %d slots more than there are", r, n))
		}
		if l.holders[i].Load() == 0 {
			l.holders[i].Store(r)
			step("slot assigned")
			n--
		}
	}
}

// unassign takes all its slots from a participant.
func (l *ledger) unassign(r ref) {
	n, weight := 0, int(l.at(r).weight.Load())
	for i := 0; i < MaxSlots && n < weight; i++ {
		if l.holders[i].Load() == r {
			l.holders[i].Store(0)
			step("slot freed")
			l.inUse.Add(^uint32(0))
			n++
		}
	}
	if n != weight {
		panic(damaged("participant %d holds %d slots instead of %d", r, n, weight))
	}
}

// firstSlot is the lowest of a participant's slots.
func (l *ledger) firstSlot(r ref) int {
	for i := range l.holders {
		if l.holders[i].Load() == r {
			return i
		}
	}
	panic(damaged("participant %d holds no slot", r))
}

// slotsOf lists a participant's slots in ascending order.
func (l *ledger) slotsOf(r ref) []int {
	slots := make([]int, 0, 1)
	weight := int(l.at(r).weight.Load())
	for i := 0; i < MaxSlots && len(slots) < weight; i++ {
		if l.holders[i].Load() == r {
			slots = append(slots, i)
		}
	}
	return slots
}

// keepSlots clears every slot of a participant that holds none, or more than its
// weight, and returns how many each one keeps.
func (l *ledger) keepSlots() map[ref]int {
	kept := map[ref]int{}
	for i := range l.holders {
		r := l.holders[i].Load()
		if r == 0 {
			continue
		}
		if r <= l.used.Load() && l.at(r).state.Load() == held && kept[r] < int(l.at(r).weight.Load()) {
			kept[r]++
		} else {
			l.holders[i].Store(0)
		}
	}
	return kept
}

// holding calls yield for everybody who holds slots.
func (l *ledger) holding(yield func(ref) bool) {
	seen, inUse := uint32(0), l.inUse.Load()
	for i := 0; i < MaxSlots && seen < inUse; i++ {
		r := l.holders[i].Load()
		if r == 0 {
			continue
		}
		seen++
		rec := l.at(r)
		if rec.state.Load() != held {
			panic(damaged("slot %d is held by record %d, which holds nothing", i, r))
		}
		// A heavy participant is told of once, at its first slot.
		if rec.weight.Load() > 1 && l.firstSlot(r) != i {
			continue
		}
		if !yield(r) {
			return
		}
	}
}

// itemsOf lists what slots stand for: none where the pool has no items.
func (l *ledger) itemsOf(slots []int) (items []string) {
	if l.hasItems.Load() != 0 {
		for _, i := range slots {
			items = append(items, l.items[i].get())
		}
	}
	return items
}
