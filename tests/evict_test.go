package tests

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/poolrun/poolrun/pool"
	"golang.org/x/sys/unix"
)

// evict signals the command in a slot, and no other.
func TestEvictSignalsTheCommandInASlot(t *testing.T) {
	name := newPool(t, 3)
	one, _ := startHolder(t, name)
	two, _ := startHolder(t, name)
	three := mustStart(t, poolrun(t, "--pool", name, "--no-fork", "sleep", "1000"))
	waitStatus(t, name, "three commands", func(s status) bool { return s.commands() == 3 })
	mustRun(t, "evict", name, "--slot", "1")
	wantSignal(t, syscall.SIGTERM, two)
	mustRun(t, "evict", name, "--slot", "0", "--signal", "KILL")
	wantSignal(t, syscall.SIGKILL, one)
	mustRun(t, "evict", name, "--slot=2", "-s", "sigint")
	wantSignal(t, syscall.SIGINT, three)
	wantEmpty(t, name)
	four := mustStart(t, poolrun(t, "--pool", name, "sleep", "1000"))
	waitForCommand(t, name)
	mustRun(t, "evict", name, "--slot=0", "-s", "rtmin+2")
	wantSignal(t, 36, four)
	wantRefused(t, "slot 2 is free", "evict", name, "--slot", "2")
	wantRefused(t, "slot 3.*has 3 slots", "evict", name, "--slot", "3")
	for _, args := range [][]string{{"--slot", "-1"}, {"--slot", "x"}, {"--slot", "0x0"}, {"--slot", "1_0"}, {"--slot", "99999"}, {}, {"--slot", "0", "--signal", "NONE"}, {"--slot", "0", "--signal", "65"}} {
		wantRefused(t, "", append([]string{"evict", name}, args...)...)
	}
}

// Signal 0 only asks whether the process could be signalled, as for kill(1).
func TestEvictCanAskOnly(t *testing.T) {
	name := newPool(t, 1)
	cmd, _ := startHolder(t, name)
	mustRun(t, "evict", name, "--slot", "0", "--signal", "0")
	cmd.Process.Kill()
	cmd.Wait()
	s := statusOf(t, name) // its command lives on, orphaned
	if s.InUse != 1 || s.Holders[0].State != "orphaned" {
		t.Errorf("%+v", s)
	}
	mustRun(t, "evict", name, "--slot", "0")
	wantEnded(t, s.Holders[0].CommandPID)
	wantUsable(t, name)
}

// The process of a holder without a command is signalled itself: the shell of a section, or a program
// that uses the library.
func TestEvictSignalsAHolderWithoutACommand(t *testing.T) {
	name := newPool(t, 2)
	cmd := section(t, "bash", "", name, "trap 'echo evicted; exit' USR1; ACQUIRE && echo held; while :; do read line; done")
	_, next := startSection(t, cmd)
	wantLine(t, next, "held")
	mustRun(t, "evict", name, "--slot", "0", "--signal", "10")
	wantLine(t, next, "evicted")
	wantExit(t, 0, cmd)

	p, err := pool.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	lease, err := p.TryAcquire()
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, "evict", name, "--slot", fmt.Sprint(lease.Slots()[0]), "--signal", "0")
	if err := lease.Release(); err != nil {
		t.Error(err)
	}
	wantEmpty(t, name)
}

// What has taken the slot has ended, and a relative of it holds the slot: then there is no process to
// signal, and the pid may be another process's.
func TestEvictSignalsNoLaterProcess(t *testing.T) {
	name := newPool(t, 1)
	cmd := section(t, "bash", "", name, "ACQUIRE; setsid sleep 1000 >/dev/null & echo $!")
	_, next := startSection(t, cmd)
	child := readPID(t, next)
	eventually(t, "a session of its own", func() bool { sid, err := unix.Getsid(child); return sid == child && err == nil }) // or the pid stays in use
	wantExit(t, 0, cmd)
	wantRefused(t, fmt.Sprintf("process %d has ended", cmd.Process.Pid), "evict", name, "--slot", "0")
	// A process with the pid of the shell, which has started later.
	time.Sleep(30 * time.Millisecond) // a start time counts ticks of 10 ms
	recycled := recycle(t, cmd.Process.Pid)
	if recycled == nil {
		t.Skip("cannot choose a pid here")
	}
	defer end(recycled)
	wantRefused(t, fmt.Sprintf("process %d has ended", cmd.Process.Pid), "evict", name, "--slot", "0", "--signal", "KILL")
	kill(t, child)
	wantUsable(t, name)
}

// A pid of another namespace is not signalled here.
func TestEvictRefusesAnotherNamespace(t *testing.T) {
	name := newPool(t, 1)
	cmd := mustStart(t, inside(t, poolrun(t, "--pool", name, "sleep", "1000")))
	waitForCommand(t, name)
	wantRefused(t, "another pid namespace", "evict", name, "--slot", "0")
	kill(t, cmd.Process.Pid)
	cmd.Wait()
}

// The kernel decides whom a user may signal.
func TestEvictByAnotherUser(t *testing.T) {
	name := freeName(t)
	mustRun(t, "init", name, "--size", "1", "--mode", "0666")
	cmd, child := startHolder(t, name)
	wantResult(t, asNobody(t, poolrun(t, "evict", name, "--slot", "0")), 2, fmt.Sprintf("cannot signal process %d: operation not permitted", child))
	mustRun(t, "evict", name, "--slot", "0")
	wantSignal(t, syscall.SIGTERM, cmd)
}

// A user who may write to a ledger cannot direct root's signal to any process.
func TestEvictDoesNotBelieveAStrangersLedger(t *testing.T) {
	name := freeName(t)
	cmd := asNobody(t, poolrun(t, "init", name, "--size", "1"))
	wantExit(t, 0, mustStart(t, cmd))
	holder := mustStart(t, asNobody(t, poolrun(t, "--pool", name, "--close", "sleep", "1000")))
	waitStatus(t, name, "a command", func(s status) bool { return s.commands() == 1 })
	mustRun(t, "evict", name, "--slot", "0", "--signal", "0") // its parent has the ledger open
	victim := mustStart(t, command(t, "sleep", "1000"))
	const commandPID = 48
	patch(t, ledgerOf(name), recordsAt+commandPID, binary.LittleEndian.AppendUint32(nil, uint32(victim.Process.Pid))...)
	patch(t, ledgerOf(name), recordsAt+commandPID+8, 255, 255, 255, 255, 255, 255, 255, 0) // when it was seen
	wantRefused(t, "does not show that it holds slot 0", "evict", name, "--slot", "0", "--signal", "KILL")
	if victim.Process.Signal(syscall.Signal(0)) != nil || isInState(victim.Process.Pid, 'Z') {
		t.Error("the victim was killed")
	}
	end(victim)
	syscall.Kill(-holder.Process.Pid, syscall.SIGKILL)
	holder.Wait()
}

// wait returns as soon as nobody holds a slot and nobody waits.
func TestWaitReturnsWhenThePoolIsEmpty(t *testing.T) {
	name := newPool(t, 1)
	mustRun(t, "wait", name)
	release := holdSlot(t, name)
	wantResult(t, poolrun(t, "wait", name, "-w", "0"), 75, "^poolrun: pool "+name+" is still in use after 0s\n$")
	wantResult(t, poolrun(t, "wait", name, "--timeout", "0.2"), 75, "still in use")
	waiter := mustStart(t, poolrun(t, "-p", name, "cat"))
	waitForLine(t, name, 1)
	cmd := mustStart(t, poolrun(t, "wait", name, "--timeout", "1d"))
	again := mustStart(t, poolrun(t, "wait", name))
	release()
	wantExit(t, 0, waiter, cmd, again)
	mustSem(t, "wait", name)
	wantResult(t, poolrun(t, "wait", name, "-w", "0"), 0, "") // no program has the semaphore open any more
	wantRefused(t, "no pool", "wait", freeName(t))
	mustRun(t, "repair", name)

	// A signal ends it, and the end of the pool does.
	defer holdSlot(t, name)()
	cmd, again = mustStart(t, poolrun(t, "wait", name)), mustStart(t, poolrun(t, "wait", name))
	for _, pid := range []int{cmd.Process.Pid, again.Process.Pid} {
		eventually(t, "wait looking at the pool", func() bool { return hasOpen(pid, ledgerOf(name)) })
	}
	cmd.Process.Signal(syscall.SIGINT)
	wantSignal(t, syscall.SIGINT, cmd)
	mustRun(t, "destroy", name, "--force")
	wantExit(t, 2, again)
	wantRefused(t, "no pool", "wait", name)
}
