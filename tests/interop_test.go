package tests

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/poolrun/poolrun/gate"
)

func TestGateAndGlibcShareASemaphore(t *testing.T) {
	name := freeName(t)
	mustSem(t, "create", name, "2")
	s, err := gate.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if value, err := s.Value(); value != 2 || err != nil {
		t.Errorf("value %d, %v", value, err)
	}
	mustSem(t, "wait", name)
	if err := s.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.TryWait(); !errors.Is(err, gate.ErrWouldBlock) {
		t.Errorf("a third slot of two: %v", err)
	}
	if sem(t, "trywait", name).Run() == nil {
		t.Error("a third slot of two, in C")
	}

	// Each wakes the other.
	waiter, next := startSemWaiter(t, name)
	if err := s.Post(); err != nil {
		t.Error(err)
	}
	wantLine(t, next, "taken")
	waiter.Wait()
	got := make(chan error)
	go func() { got <- s.Wait(context.Background()) }()
	mustSem(t, "post", name)
	if err := <-got; err != nil {
		t.Error(err)
	}
	if value := mustSem(t, "value", name); value != "0" {
		t.Errorf("value %s", value)
	}
	mustSem(t, "unlink", name)
	if _, err := gate.Open(name); err == nil {
		t.Error("opened after unlink")
	}
}

func TestGlibcOpensWhatGateCreates(t *testing.T) {
	name := freeName(t)
	s, err := gate.Create(name, 3, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustSem(t, "wait", name)
	mustSem(t, "wait", name)
	mustSem(t, "post", name)
	if value := mustSem(t, "value", name); value != "2" {
		t.Errorf("value %s", value)
	}
	if sem(t, "create", name, "1").Run() == nil {
		t.Error("created a second semaphore of that name")
	}
}

// A C program takes a slot of the pool, and its post wakes the first in line.
func TestACProgramSharesThePool(t *testing.T) {
	name := newPool(t, 2)
	mustSem(t, "wait", name)
	release := holdSlot(t, name)
	if s := statusOf(t, name); s.InUse != 1 || s.Available != 0 {
		t.Errorf("status %+v", s)
	}
	wantBusy(t, name)
	waiter := startWaiter(t, name)
	mustSem(t, "post", name)
	wantExit(t, 0, waiter)
	release()
	wantEmpty(t, name)
}

func TestPoolrunWakesACProgram(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	waiter, next := startSemWaiter(t, name)
	release()
	wantLine(t, next, "taken")
	waiter.Wait()
	if s := statusOf(t, name); s.InUse != 0 || s.Available != 0 {
		t.Errorf("status %+v", s)
	}
	mustSem(t, "post", name)
	wantUsable(t, name)
}

// A program that posts without a wait before does not raise the limit.
func TestASpuriousPostDoesNotRaiseTheLimit(t *testing.T) {
	name := newPool(t, 1)
	mustSem(t, "post", name)
	release := holdSlot(t, name)
	wantBusy(t, name)
	release()
}

// A C program that is killed while it waits, or while it has a slot, leaves the other slots
// usable.
func TestAKilledCProgramLeavesTheOtherSlotsUsable(t *testing.T) {
	name := newPool(t, 2)
	release := holdSlot(t, name)
	mustSem(t, "wait", name) // it exits without a post
	waiter, _ := startSemWaiter(t, name)
	end(waiter)
	release()
	mustRun(t, "--pool", name, "-n", "true")
	if s := statusOf(t, name); s.Available != 1 {
		t.Errorf("status %+v", s)
	}
}

func TestSemTimedwaitTakesASlotOrTimesOut(t *testing.T) {
	name := newPool(t, 1)
	mustSem(t, "timedwait", name)
	if sem(t, "timedwait", name).Run() == nil {
		t.Error("two slots of one")
	}
	waiter := startWaiter(t, name)
	mustSem(t, "post", name)
	wantExit(t, 0, waiter)
	wantUsable(t, name)
}

// A C program waits beside the line. A slot that is given back goes to it or to the first in
// line, and in the end both have had one.
func TestACProgramAndTheFirstInLineBothGetTheirTurn(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	waiter, next := startSemWaiter(t, name)
	dir := t.TempDir()
	line := lineUp(t, name, filepath.Join(dir, "order"), 3, noFlags)
	release()
	wantLine(t, next, "taken")
	waiter.Wait()
	mustSem(t, "post", name)
	wantExit(t, 0, line...)
	wantOrder(t, filepath.Join(dir, "order"), 0, 1, 2)
	wantUsable(t, name)
}

// A first in line that is killed at the gate does not take a wake-up with it, and leaves no
// count behind that would keep a C program from being woken.
func TestTheDeathOfTheFirstInLineLeavesCProgramsAlone(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	for range 5 {
		first := startWaiter(t, name)
		kill(t, first.Process.Pid)
		first.Wait()
	}
	waiter, next := startSemWaiter(t, name)
	release()
	wantLine(t, next, "taken")
	waiter.Wait()
	mustSem(t, "post", name)
	wantUsable(t, name)
}
