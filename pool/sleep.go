package pool

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/poolrun/poolrun/internal/futex"
	"github.com/poolrun/poolrun/internal/ledger"
)

// sleepers are the waiters of one open Pool that sleep. However many goroutines wait, one of them,
// the leader, sleeps in the kernel for all, and the others sleep on a channel. So the process needs
// one thread for it.
//
// The leader sleeps at the gate if one of the waiters is first in line, and otherwise at their
// bell. The bell is the futex word of one record. All their records name that record, so that other
// processes know where to ring. (A bell needs no owner: if the record belongs to another process by
// now, two processes hear it.) A leader at the gate does not hear the bell. But every change of the
// first in line wakes the sleepers at the gate too, and all other reasons to ring can wait for
// attendEvery.
//
// The invariant: while there are sleepers, one of them is the leader.
type sleepers struct {
	mutex  sync.Mutex
	all    map[*place]bool
	leader *place
	atGate *place     // the sleeper that stands at the gate, if there is one
	bell   ledger.Ref // 0 until somebody has waited
}

// A sleepState is what a sleeper's place knows of its sleep. The mutex of sleepers guards it.
type sleepState struct {
	wake  chan struct{} // full: look is set, or the sleeper has become the leader
	look  bool          // it has to look
	poked uint32        // how often its record had been poked when it looked last
	gate  uint32        // the gate's value, if it stands there
}

func (s *sleepState) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// bellFor returns the bell for a record that is about to join the line.
func (s *sleepers) bellFor(r ledger.Ref) ledger.Ref {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.bell == 0 {
		s.bell = r
	}
	return s.bell
}

// sleep returns when a place has to look: because it was poked, the gate has changed, or nobody
// attends to the gate; after v.limit; or when ctx is done.
func (p *Pool) sleep(ctx context.Context, pl *place, v view) error {
	leads, bell := p.sleepers.add(pl, v)
	defer p.sleepers.remove(pl)
	until := p.mem.Clock.Now() + int64(v.limit)
	if !leads {
		if v.first { // the leader has to go to the gate
			if err := p.mem.Ring(bell); err != nil {
				return err
			}
		}
		if !p.sleepers.follow(ctx, pl, v.limit) {
			return nil
		}
	}
	return p.lead(ctx, pl, until)
}

// add adds a sleeper, which becomes the leader if there is none.
func (s *sleepers) add(pl *place, v view) (leads bool, bell ledger.Ref) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.all == nil {
		s.all = map[*place]bool{}
	}
	s.all[pl] = true
	pl.asleep = sleepState{wake: make(chan struct{}, 1), poked: v.poked, gate: uint32(v.value)}
	if v.first {
		s.atGate = pl
	}
	if s.leader == nil {
		s.leader = pl
	}
	return s.leader == pl, s.bell
}

// remove removes a sleeper. If it was the leader, another sleeper becomes the leader.
func (s *sleepers) remove(pl *place) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.all, pl)
	if s.atGate == pl {
		s.atGate = nil
	}
	if s.leader != pl {
		return
	}
	s.leader = nil
	for next := range s.all { // any of them
		s.leader = next
		next.asleep.signal()
		break
	}
}

// follow sleeps on the channel. It reports whether the place has become the leader and has nothing
// else to do.
func (s *sleepers) follow(ctx context.Context, pl *place, limit time.Duration) (leads bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-pl.asleep.wake:
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.leader == pl && !pl.asleep.look
}

// lead sleeps in the kernel for all sleepers. It rouses those that a wake-up concerns, and returns
// when one concerns the leader itself.
func (p *Pool) lead(ctx context.Context, pl *place, until int64) error {
	d := &doze{fd: p.object.FD, clock: p.mem.Clock, namespace: p.self.pidNamespace}
	var word atomic.Pointer[atomic.Uint32]
	awake := make(chan struct{})
	defer close(awake)
	stop := context.AfterFunc(ctx, func() { futex.WakeUntil(awake, &word) })
	defer stop()

	for ctx.Err() == nil {
		d.until = until
		concerned, err := p.prepareDoze(pl, d)
		if err != nil || concerned {
			return err
		}
		word.Store(d.word)
		if ctx.Err() != nil {
			break
		}
		end := d.sleep()
		switch {
		case end == endDeserted, p.mem.Clock.Now() >= until:
			return nil
		case end == endWoken && d.attends && p.sleepers.rouseAtGate() == pl:
			return nil
		case end == endUnproven:
			if _, _, err := p.reapHolders(ctx, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepareDoze rouses all sleepers that were poked, and decides where the leader has to sleep. It
// reports whether the leader itself was poked.
func (p *Pool) prepareDoze(leader *place, d *doze) (concerned bool, err error) {
	s := &p.sleepers
	s.mutex.Lock()
	defer s.mutex.Unlock()
	bell, err := p.mem.At(s.bell)
	if err != nil {
		return false, err
	}
	value := bell.Word.Load() // before the pokes are read: a poke from now on changes it
	for other := range s.all {
		if poked := other.rec.Poked.Load(); poked != other.asleep.poked {
			other.asleep.poked, other.asleep.look = poked, true
			other.asleep.signal()
			concerned = concerned || other == leader
		}
	}
	d.sleepers = p.mem.Sleepers()
	if d.attends = s.atGate != nil; d.attends {
		d.word, d.value = p.mem.Gate.Word(), s.atGate.asleep.gate
		if len(s.all) > 1 { // it sleeps for others too, and does not hear their bell
			d.until = min(d.until, p.mem.Clock.Now()+int64(attendEvery))
		}
	} else {
		d.word, d.value = &bell.Word, value
	}
	return concerned, nil
}

// rouseAtGate makes the sleeper at the gate look, and returns it. Until it stands there again, the
// leader sleeps at the bell.
func (s *sleepers) rouseAtGate() *place {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	pl := s.atGate
	if pl != nil {
		s.atGate, pl.asleep.look = nil, true
		pl.asleep.signal()
	}
	return pl
}
