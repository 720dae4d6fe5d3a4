package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A model of a pool in plain Go: who holds, who waits, in which order. A state
// machine does the same to it and to a pool, with several open handles as several
// processes have them, step by step, and compares.
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
	dead             bool
	lease            *Lease // if it holds
	turn             *turn  // if it waits
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

func (m *model) fits(weight int) bool { return m.inUse()+weight <= m.size }

// arrive tells what becomes of a newcomer: it is too heavy, or gets its slots.
func (m *model) arrive(w *modelled) (tooHeavy, admitted bool) {
	if m.size > 0 && w.weight > m.size {
		return true, false
	}
	isNext := len(m.line) == 0 || m.line[0].priority > w.priority
	return false, isNext && m.fits(w.weight)
}

func (m *model) newcomer(t *rapid.T) *modelled {
	return &modelled{
		text:     fmt.Sprint("number ", rapid.Uint64().Draw(t, "name")),
		p:        rapid.SampledFrom(m.handles).Draw(t, "handle"),
		weight:   rapid.IntRange(1, 3).Draw(t, "weight"),
		priority: rapid.IntRange(-1, 1).Draw(t, "priority"),
	}
}

func (w *modelled) options() []Option {
	return []Option{WithCommand(w.text), WithWeight(w.weight), WithPriority(w.priority)}
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
	err = w.p.promptly(func() (err error) {
		lease := new(Lease)
		if err = w.p.arrive(req, lease); !errors.Is(err, ErrBusy) {
			w.lease = lease
			return err
		}
		w.turn, err = w.p.joinLine(req)
		return err
	})
	switch {
	case tooHeavy && errors.Is(err, ErrTooHeavy):
	case err != nil:
		t.Fatal(err)
	case admitted && w.lease != nil:
		m.holders = append(m.holders, w)
	case !admitted && w.turn != nil:
		m.insert(w)
	default:
		t.Fatalf("admitted: %v, got lease %v, turn %v", admitted, w.lease, w.turn)
	}
}

// living draws one of those who have not died.
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
	served := !tooHeavy && m.line[0] == w && m.fits(w.weight)
	lease := new(Lease)
	v, err := w.turn.look(context.Background(), lease)
	switch {
	case tooHeavy && errors.Is(err, ErrTooHeavy):
		w.turn.giveUp(err)
		m.line = remove(m.line, w)
	case err != nil:
		t.Fatal(err)
	case served != v.served:
		t.Fatalf("%s is to be served: %v, is served: %v", w.text, served, v.served)
	case served:
		w.lease = lease
		m.line = remove(m.line, w)
		m.holders = append(m.holders, w)
	}
}

func (m *model) GiveUp(t *rapid.T) {
	w := living(t, m.line)
	w.turn.giveUp(context.Canceled)
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
	r := ref(0)
	if w.lease != nil {
		r = w.lease.r
	} else {
		r = w.turn.r
	}
	if err := w.p.unclaim(r); err != nil {
		t.Fatal(err)
	}
	w.dead = true
}

func (m *model) Resize(t *rapid.T) {
	m.size = rapid.IntRange(0, 4).Draw(t, "size")
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
	for _, w := range m.line {
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
	if faults := p.ledger.inspect(); len(faults) > 0 {
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
