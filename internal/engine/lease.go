package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/poolrun/poolrun/internal/bare"
)

// A Lease holds slots. The engine renews it, and another engine does if that one is killed.
type Lease struct {
	grant  Grant
	waited time.Duration
	pool   *Pool

	mutex    sync.Mutex
	released bool
	safe     int64
	lost     string
	isEnded  bool // by the engine
	watcher  Watcher
}

// A Watcher is told what happens to a lease, as far as it has functions for that. They must neither block nor call
// methods of the lease: nothing else is read from the engine meanwhile.
type Watcher struct {
	Safe    func(until int64) // nobody else can get the slots before: CLOCK_BOOTTIME in nanoseconds
	Lost    func(why string)  // the command has to end at once, unless the pool keeps it
	Warning func(text string) // for people
}

func (p *Pool) newLease(grant Grant, waited time.Duration) *Lease {
	l := &Lease{grant: grant, waited: waited, pool: p}
	p.mutex.Lock()
	for _, e := range p.early {
		l.note(e)
	}
	p.lease, p.early = l, nil
	p.mutex.Unlock()
	if !grant.Nested {
		go l.keep()
	}
	return l
}

// Now is the time of CLOCK_BOOTTIME, in nanoseconds.
func Now() int64 { return bare.BootTime() }

// Grant describes the slots.
func (l *Lease) Grant() Grant { return l.grant }

// Waited is how long it took to get them.
func (l *Lease) Waited() time.Duration { return l.waited }

// Guard is the descriptor that the command has to inherit if it holds the slots for as long as it runs.
func (l *Lease) Guard() int { return l.pool.cell.guardIn }

// CommandPID is where the command's pid has to be stored before the command runs its first instruction,
// and the pid of what it has left later.
func (l *Lease) CommandPID() *atomic.Int32 { return l.pool.cell.pid() }

// SetCommandPID tells the engine that the command runs.
func (l *Lease) SetCommandPID(pid int) {
	l.CommandPID().Store(int32(pid))
	l.pool.current().send(Started, Number{int64(pid)}, nil)
}

// Watch begins to tell a watcher what happens, including what has happened.
func (l *Lease) Watch(w Watcher) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.watcher = w
	if l.safe != 0 && w.Safe != nil {
		w.Safe(l.safe)
	}
	if l.lost != "" && w.Lost != nil {
		w.Lost(l.lost)
	}
}

// note notes what an engine reports.
func (l *Lease) note(e Event) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if e.Safe != 0 {
		l.safe = e.Safe
		if l.lost == "" && l.watcher.Safe != nil { // a command that has to end is not spared any more
			l.watcher.Safe(e.Safe)
		}
	}
	if e.Lost != "" {
		if l.lost = e.Lost; l.watcher.Lost != nil {
			l.watcher.Lost(e.Lost)
		}
	}
	l.isEnded = l.isEnded || e.Ended
	if e.Warning != "" && l.watcher.Warning != nil {
		l.watcher.Warning(e.Warning)
	}
}

// IsEnded reports whether the engine has ended the command.
func (l *Lease) IsEnded() bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.isEnded
}

// Confirm returns after the watcher knows all that the engine knows, or after a moment: the command may have to be
// ended in time.
func (l *Lease) Confirm() {
	current, answer := l.pool.current(), make(chan Reply, 1)
	current.send(Confirm, nil, answer)
	select {
	case <-answer:
	case <-current.ended:
	case <-time.After(patience / 4):
	}
}

// keep starts another engine whenever one ends, and lets it adopt the lease, until the lease is given
// back. One that cannot adopt the lease is ended.
func (l *Lease) keep() {
	warned := ""
	for current, adopted := l.pool.current(), make(chan Reply); ; {
		select {
		case reply := <-adopted:
			if reply.Error == nil || l.isOver() {
				continue
			}
			if why := reply.Error.Cause; why != warned {
				l.note(Event{Warning: "no engine can adopt the slot: " + why})
				warned = why
			}
			current.close()
			time.Sleep(adoptPause)
			continue
		case <-current.ended:
		}
		if l.isOver() {
			return
		}
		if !current.greeted.Load() {
			time.Sleep(adoptPause) // it has not begun to work: there may be too little memory
		}
		adopted = make(chan Reply, 1)
		adopt := func(next *conn) {
			next.send(Adopt, l.adoption(), adopted)
			if pid := l.CommandPID().Load(); pid != 0 {
				next.send(Started, Number{int64(pid)}, nil)
			}
		}
		for l.pool.restart(current, adopt) != nil {
			if l.isOver() {
				return
			}
			time.Sleep(adoptPause)
		}
		current = l.pool.current()
	}
}

// adoption is the grant, with what an engine has told about it.
func (l *Lease) adoption() Grant {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	g := l.grant
	g.Safe = l.safe
	return g
}

const adoptPause = time.Second

// isOver reports whether no engine has to hold the lease any more.
func (l *Lease) isOver() bool {
	l.pool.mutex.Lock()
	defer l.pool.mutex.Unlock()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.released || l.pool.closed
}

// Release gives the slots back. An error means that they are free only when the lease runs out.
func (l *Lease) Release() error {
	if l.grant.Nested {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		conn := l.pool.current()
		err := conn.call(ctx, Release, nil, nil)
		if err == nil || ctx.Err() != nil {
			l.mutex.Lock()
			l.released = true
			l.mutex.Unlock()
			if ctx.Err() != nil && err != nil {
				err = errors.New("there is no answer")
			}
			return l.pool.explain(err)
		}
		time.Sleep(restartPause) // keep starts another engine, also if this one could not adopt the slots
	}
}
