package pool

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/poolrun/poolrun/internal/futex"
)

// A dormitory is where the waiters of one open Pool sleep. However many goroutines
// wait, one of them, the leader, sleeps in the kernel for all, and the others on a
// channel: so the process needs one thread for it.
//
// The leader sleeps at the gate if one of the waiters is first in line, else at their
// bell. That is the futex word of one record; which one is written in the records of
// all, so that others know where to ring. (A bell needs no owner: if the record is
// somebody else's by now, two processes hear it.) At the gate nobody hears the bell;
// but whatever changes who is first in line wakes the gate too, and all other reasons
// to ring can wait for attendEvery.
//
// The invariant: while there are sleepers, one of them is the leader.
type dormitory struct {
	mutex    sync.Mutex
	sleepers map[*turn]bool
	leader   *turn
	atGate   *turn // the sleeper that stands at the gate, if there is one
	bell     ref   // 0 until somebody has waited
}

// A bed is what a turn has of it, under its mutex.
type bed struct {
	wake  chan struct{} // full: look is set, or it has become the leader
	look  bool
	poked uint32 // its record's count of pokes when it looked last
	gate  uint32 // the gate's value, if it stands there
}

// bellFor is the bell for a turn that is about to join the line.
func (d *dormitory) bellFor(r ref) ref {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.bell == 0 {
		d.bell = r
	}
	return d.bell
}

// sleep returns when t has to look: when it was poked, the gate has changed before
// it, nobody attends to the gate, or its limit has passed; and when ctx is done.
func (p *Pool) sleep(ctx context.Context, t *turn, v view) error {
	d := &p.dormitory
	d.mutex.Lock()
	if d.sleepers == nil {
		d.sleepers = map[*turn]bool{}
	}
	d.sleepers[t] = true
	t.bed = bed{wake: make(chan struct{}, 1), poked: v.poked, gate: uint32(v.value)}
	if v.first {
		d.atGate = t
	}
	if d.leader == nil {
		d.leader = t
	}
	leads, bell := d.leader == t, d.bell
	d.mutex.Unlock()
	defer d.leave(t)

	if v.first && !leads { // the leader has to go to the gate
		if err := p.safely(func() error { p.ringAt(bell); return nil }); err != nil {
			return err
		}
	}
	until := p.now() + int64(v.limit)
	if !leads {
		if leads = d.follow(ctx, t, v.limit); !leads {
			return nil
		}
	}
	return p.lead(ctx, t, until)
}

// leave takes t out. If it was the leader, another is from now on.
func (d *dormitory) leave(t *turn) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	delete(d.sleepers, t)
	if d.atGate == t {
		d.atGate = nil
	}
	if d.leader == t {
		d.leader = nil
		for next := range d.sleepers { // whoever it is
			d.leader = next
			next.bed.signal()
			break
		}
	}
}

// follow sleeps on the channel. It reports whether t has become the leader, and has
// nothing else to do.
func (d *dormitory) follow(ctx context.Context, t *turn, limit time.Duration) (leads bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-t.bed.wake:
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.leader == t && !t.bed.look
}

func (b *bed) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// lead sleeps for all, and rouses those whom a wake-up concerns, until it concerns t
// itself.
func (p *Pool) lead(ctx context.Context, t *turn, until int64) error {
	z := &doze{fd: p.object.FD, bootOffset: p.self.bootOffset}
	var word atomic.Pointer[atomic.Uint32]
	awake := make(chan struct{})
	defer close(awake)
	stop := context.AfterFunc(ctx, func() { wakeUntil(awake, &word) })
	defer stop()

	for ctx.Err() == nil {
		concerned := false
		err := p.safely(func() error {
			concerned = p.makeBed(t, z)
			return nil
		})
		if err != nil || concerned {
			return err
		}
		// One at the gate hears of pokes only now and then, if it sleeps for others.
		z.until = until
		if z.attends && !p.dormitory.isAlone() {
			z.until = min(until, p.now()+int64(attendEvery))
		}
		word.Store(z.word)
		if ctx.Err() != nil {
			break
		}
		end := z.sleep()
		switch {
		case end == gateIsDeserted, p.now() >= until:
			return nil
		case end == woken && z.attends && p.dormitory.rouseAtGate() == t:
			return nil
		}
	}
	return nil
}

// makeBed rouses all that were poked, and says where the leader, t, has to sleep. It
// reports whether t itself was poked.
func (p *Pool) makeBed(t *turn, z *doze) (concerned bool) {
	d := &p.dormitory
	d.mutex.Lock()
	defer d.mutex.Unlock()
	bell := &p.ledger.must(d.bell).word
	value := bell.Load() // before the pokes: who pokes now changes it
	for s := range d.sleepers {
		if poked := p.ledger.at(s.r).poked.Load(); poked != s.bed.poked {
			s.bed.poked, s.bed.look = poked, true
			s.bed.signal()
			concerned = concerned || s == t
		}
	}
	z.sleepers = p.ledger.sleepers.Load()
	if z.attends = d.atGate != nil; z.attends {
		z.word, z.value = p.gate.Word(), d.atGate.bed.gate
	} else {
		z.word, z.value = bell, value
	}
	return concerned
}

// rouseAtGate makes whoever stands at the gate look, and returns it. Until it stands
// there again, the leader sleeps at the bell.
func (d *dormitory) rouseAtGate() *turn {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	t := d.atGate
	if t != nil {
		d.atGate, t.bed.look = nil, true
		t.bed.signal()
	}
	return t
}

func (d *dormitory) isAlone() bool {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return len(d.sleepers) == 1
}

// wakeUntil wakes whoever sleeps on a word until awake is closed. A single wake-up
// could come just before the sleep.
func wakeUntil(awake <-chan struct{}, word *atomic.Pointer[atomic.Uint32]) {
	for {
		if w := word.Load(); w != nil {
			futex.Wake(w, futex.Everybody)
		}
		select {
		case <-awake:
			return
		case <-time.After(time.Millisecond):
		}
	}
}
