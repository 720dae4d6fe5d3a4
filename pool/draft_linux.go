package pool

import (
	"context"
	"unsafe"
)

// readOnly takes a status for one who cannot write: of a draft, in which it does what
// the next process that can write will do in the ledger itself. It completes or undoes
// what a process that died in a change has left behind, and takes the dead out.
func (p *Pool) readOnly(s *Status) error {
	ctx, cancel := context.WithTimeout(p.open, lockWithin)
	defer cancel()
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	return p.safely(func() (err error) {
		if err := p.ledger.check(); err != nil {
			return err
		}
		draft := p.draft()
		if _, err := draft.mend(); err != nil {
			return err
		}
		if err := draft.forgetTheDead(); err != nil {
			return err
		}
		*s, err = draft.status()
		return err
	})
}

// draft returns a pool whose ledger is a copy in memory that nobody shares: nobody is
// woken by what happens in there. Its gate is the pool's own, and is only read.
func (p *Pool) draft() *Pool {
	l := new(ledger)
	copyPart := func(to, from unsafe.Pointer, size uintptr) {
		copy(unsafe.Slice((*byte)(to), size), unsafe.Slice((*byte)(from), size))
	}
	records := unsafe.Offsetof(l.participants)
	copyPart(unsafe.Pointer(l), unsafe.Pointer(p.ledger), records)
	used := uintptr(min(l.used.Load()+1, MaxParticipants)) // one more: see rebuild
	copyPart(unsafe.Pointer(&l.participants), unsafe.Pointer(&p.ledger.participants), used*unsafe.Sizeof(participant{}))
	return &Pool{
		name: p.name, object: p.object, ledger: l, gate: p.gate, probe: p.probe, id: p.id, self: p.self, isDraft: true,
	}
}

// forgetTheDead frees the records of the dead.
func (p *Pool) forgetTheDead() error {
	l := p.ledger
	used := ref(min(l.used.Load(), MaxParticipants))
	census := p.takeCensus(int(used))
	for r := ref(1); r <= used; r++ {
		rec := l.at(r)
		if rec.state.Load() == free {
			continue
		}
		locked, err := census.isLocked(r)
		if err != nil {
			return err
		}
		if !locked && !p.commandRuns(r) {
			if rec.state.Load() == held {
				p.unreturned += int(min(rec.weight.Load(), MaxSlots))
			}
			rec.state.Store(free)
		}
	}
	return p.rebuild()
}
