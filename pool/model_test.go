package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A model is a pool in plain Go: the holders, and the waiters in order. A state machine
// does the same to a model and to a pool, step by step, and compares. It opens the pool
// several times, as several processes would.
type model struct {
	t       *rapid.T
	name    string
	handles []*Pool
	size    int
	holders []*modelled
	line    []*modelled // in order
}

// A modelled participant. Its text is what Status shows for it.
type modelled struct {
	text             string
	p                *Pool
	weight, priority int
	longLived        bool
	dead             bool
	lease            *Lease // if it holds
	place            *place // if it waits
}

func (m *model) inUse() (n int) {
	for _, h := range m.holders {
		n += h.weight
	}
	return n
}

func (m *model) insert(w *modelled) {
	i := len(m.line)
	for i > 0 && m.line[i-1].priority > w.priority {
		i--
	}
	m.line = slices.Insert(m.line, i, w)
}

// reap does what Status does: the dead lose their slots and their places in line.
func (m *model) reap() {
	m.line = slices.DeleteFunc(m.line, func(w *modelled) bool { return w.dead })
	m.holders = slices.DeleteFunc(m.holders, func(h *modelled) bool { return h.dead })
}

// isHeldBack reports whether a long-lived participant would leave no slot to others.
func (m *model) isHeldBack(w *modelled) bool {
	longHeld := 0
	for _, h := range m.holders {
		if h.longLived {
			longHeld += h.weight
		}
	}
	return w.longLived && longHeld > 0 && longHeld+w.weight >= m.size
}

// turns are the line in the order in which it is served: those that are held back, and the long-lived
// behind them, are passed by the others.
func (m *model) turns() []*modelled {
	var ready, heldBack []*modelled
	for _, w := range m.line {
		if w.longLived && (len(heldBack) > 0 || m.isHeldBack(w)) {
			heldBack = append(heldBack, w)
		} else {
			ready = append(ready, w)
		}
	}
	return append(ready, heldBack...)
}

func (m *model) fits(weight int) bool { return m.inUse()+weight <= m.size }

// arrive says what becomes of a newcomer: it is too heavy, or gets its slots.
func (m *model) arrive(w *modelled) (tooHeavy, admitted bool) {
	if m.size > 0 && w.weight > m.size {
		return true, false
	}
	isNext := true
	heldBack := false
	for _, other := range m.line {
		heldBack = heldBack || m.isHeldBack(other)
		isPassed := other.longLived && heldBack && !w.longLived
		isNext = isNext && (other.priority > w.priority || isPassed)
	}
	return false, isNext && m.fits(w.weight) && !m.isHeldBack(w)
}

func (m *model) newcomer(t *rapid.T) *modelled {
	return &modelled{
		text:      fmt.Sprint("number ", rapid.Uint64().Draw(t, "name")),
		p:         rapid.SampledFrom(m.handles).Draw(t, "handle"),
		weight:    rapid.IntRange(1, 3).Draw(t, "weight"),
		priority:  rapid.IntRange(-1, 1).Draw(t, "priority"),
		longLived: rapid.Bool().Draw(t, "long-lived"),
	}
}

func (w *modelled) options() []Option {
	options := []Option{WithCommand(w.text), WithWeight(w.weight), WithPriority(w.priority)}
	if w.longLived {
		options = append(options, LongLived())
	}
	return options
}

func (m *model) TryAcquire(t *rapid.T) {
	w := m.newcomer(t)
	tooHeavy, admitted := m.arrive(w)
	lease, err := w.p.TryAcquire(w.options()...)
	switch {
	case tooHeavy && errors.Is(err, ErrTooHeavy):
	case admitted && err == nil:
		w.lease = lease
		m.holders = append(m.holders, w)
	case !tooHeavy && !admitted && errors.Is(err, ErrBusy):
	default:
		t.Fatalf("too heavy: %v, admitted: %v, got: %v", tooHeavy, admitted, err)
	}
}

// Join does the first half of Acquire: what it does before it sleeps.
func (m *model) Join(t *rapid.T) {
	w := m.newcomer(t)
	tooHeavy, admitted := m.arrive(w)
	req, err := newRequest(w.options())
	if err != nil {
		t.Fatal(err)
	}
	err = w.p.use(func() error {
		return w.p.update(context.Background(), lockLimit, func() (err error) {
			if w.lease, err = w.p.takeAtOnce(req); errors.Is(err, ErrBusy) {
				w.place, err = w.p.joinLine(req)
			}
			return err
		})
	})
	switch {
	case tooHeavy && errors.Is(err, ErrTooHeavy):
	case err != nil:
		t.Fatal(err)
	case admitted && w.lease != nil:
		m.holders = append(m.holders, w)
	case !admitted && w.place != nil:
		m.insert(w)
	default:
		t.Fatalf("admitted: %v, got lease %v, place %v", admitted, w.lease, w.place)
	}
}

// living draws a participant that has not died.
func living(t *rapid.T, list []*modelled) *modelled {
	alive := slices.DeleteFunc(slices.Clone(list), func(w *modelled) bool { return w.dead })
	if len(alive) == 0 {
		t.Skip("nobody")
	}
	return rapid.SampledFrom(alive).Draw(t, "who")
}

func remove(list []*modelled, w *modelled) []*modelled {
	return slices.DeleteFunc(list, func(x *modelled) bool { return x == w })
}

// Look is what a waiter does whenever it is awake.
func (m *model) Look(t *rapid.T) {
	w := living(t, m.line)
	tooHeavy := m.size > 0 && w.weight > m.size
	served := !tooHeavy && m.turns()[0] == w && m.fits(w.weight) && !m.isHeldBack(w)
	v, err := w.place.look(context.Background(), "")
	switch {
	case tooHeavy && errors.Is(err, ErrTooHeavy):
		w.place.leaveLine(err)
		m.line = remove(m.line, w)
	case err != nil:
		t.Fatal(err)
	case served != (v.lease != nil):
		t.Fatalf("%s is to be served: %v, is served: %v", w.text, served, v.lease)
	case served:
		w.lease = v.lease
		m.line = remove(m.line, w)
		m.holders = append(m.holders, w)
	}
}

func (m *model) GiveUp(t *rapid.T) {
	w := living(t, m.line)
	w.place.leaveLine(context.Canceled)
	m.line = remove(m.line, w)
}

func (m *model) Release(t *rapid.T) {
	h := living(t, m.holders)
	if err := h.lease.Release(); err != nil {
		t.Fatal(err)
	}
	m.holders = remove(m.holders, h)
}

// Die is the death of a participant: the kernel drops its claim.
func (m *model) Die(t *rapid.T) {
	w := living(t, append(slices.Clone(m.line), m.holders...))
	if w.lease != nil {
		w.p.abandon(w.lease.holding)
	} else {
		w.p.abandon(w.place.holding)
	}
	w.dead = true
}

func (m *model) Resize(t *rapid.T) {
	m.size = rapid.IntRange(0, 6).Draw(t, "size")
	if err := rapid.SampledFrom(m.handles).Draw(t, "handle").Resize(m.size); err != nil {
		t.Fatal(err)
	}
}

// Check compares. It is called after each step.
func (m *model) Check(t *rapid.T) {
	m.reap()
	p := m.handles[0]
	s, err := p.Status()
	if err != nil {
		t.Fatal(err)
	}
	if want := max(m.size-m.inUse(), 0); s.Size != m.size || s.InUse != m.inUse() || s.Available != want {
		t.Fatalf("size %d, in use %d, available %d; want %d, %d, %d", s.Size, s.InUse, s.Available, m.size, m.inUse(), want)
	}
	var line, wantLine, holders, wantHolders []string
	for _, w := range s.Waiters {
		line = append(line, w.Command)
	}
	for _, w := range m.turns() {
		wantLine = append(wantLine, w.text)
	}
	taken := map[int]bool{}
	for _, h := range s.Holders {
		holders = append(holders, h.Command)
		for _, i := range h.Slots {
			if taken[i] {
				t.Fatalf("slot %d is held twice", i)
			}
			taken[i] = true
		}
	}
	for _, h := range m.holders {
		wantHolders = append(wantHolders, h.text)
	}
	slices.Sort(holders)
	slices.Sort(wantHolders)
	if !slices.Equal(line, wantLine) || !slices.Equal(holders, wantHolders) {
		t.Fatalf("line %q, holders %q; want %q, %q", line, holders, wantLine, wantHolders)
	}
	if faults := p.inspect(); len(faults) > 0 {
		t.Fatalf("%q", faults)
	}
}

func TestThePoolDoesWhatTheModelDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := newTestPool(t, Config{Size: 2})
		defer Remove(p.Name())
		m := &model{t: rt, name: p.Name(), size: 2}
		for range 3 {
			handle, err := Open(p.Name())
			if err != nil {
				rt.Fatal(err)
			}
			defer handle.Close()
			m.handles = append(m.handles, handle)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"TryAcquire": m.TryAcquire, "Join": m.Join, "Look": m.Look, "GiveUp": m.GiveUp,
			"Release": m.Release, "Die": m.Die, "Resize": m.Resize, "": m.Check,
		})
	})
}
