package tests

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// Where in the ledger these stand; the test of the layout holds them there.
const (
	inUseAt    = 48
	firstAt    = 56
	intentAt   = 232
	sleepersAt = 272
	holdersAt  = 4096
	recordsAt  = 4096 + 4*4096 + 128*4096
	recordSize = 256
	bellAt     = 92 // in a record
)

func mustPatch(t testing.TB, path string, at int64, content ...byte) {
	t.Helper()
	if err := patch(path, at, content); err != nil {
		t.Fatal(err)
	}
}

func wantRepaired(t testing.TB, name, mended string, flags ...string) {
	t.Helper()
	wantSaid(t, poolrun(t, append([]string{"repair", name}, flags...)...), 0, mended)
	wantSaid(t, poolrun(t, "repair", name), 0, "pool "+name+" is sound")
}

func TestRepairOfASoundPoolChangesNothing(t *testing.T) {
	name := newPool(t, 2)
	release := holdSlot(t, name)
	if out := mustRun(t, "repair", name); out != "pool "+name+" is sound\n" {
		t.Error(out)
	}
	release()
	wantUsable(t, name)
}

func TestRepairMendsABrokenLine(t *testing.T) {
	name := newPool(t, 1)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	line := lineUp(t, name, file, 3, noFlags)
	// From then on the first looks at the ledger once a second only.
	eventually(t, "the first in line keeping watch", func() bool { return hasInotify(line[0].Process.Pid) })
	mustPatch(t, ledgerOf(name), firstAt, 0, 0, 0, 0)
	wantRepaired(t, name, "mended: the line is broken")
	release()
	for _, cmd := range line {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if got := readFile(t, file); got != "0\n1\n2\n" {
		t.Errorf("served in the order %q", got)
	}
	wantUsable(t, name)
}

func TestRepairMendsTheTableOfHolders(t *testing.T) {
	name := newPool(t, 2)
	release := holdSlot(t, name)
	mustPatch(t, ledgerOf(name), holdersAt, 0, 0, 0, 0, 7, 0, 0, 0)
	mustPatch(t, ledgerOf(name), inUseAt, 2)
	wantRepaired(t, name, "mended: ")
	if s := statusOf(t, name); s.InUse != 1 || s.Holders[0].Slots[0] != 0 {
		t.Errorf("status %+v", s)
	}
	release()
	wantUsable(t, name)
}

func TestRepairClearsRecordsThatMakeNoSense(t *testing.T) {
	name := newPool(t, 1)
	mustRun(t, "--pool", name, "true")
	mustPatch(t, ledgerOf(name), recordsAt, 77)
	wantRepaired(t, name, "mended: record 1 is in state 77")
	wantUsable(t, name)
}

// The word that a process sleeps on is written in its record, for those who wake it.
func TestRepairMendsABellThatIsNone(t *testing.T) {
	for _, bell := range []uint32{0, 9000} {
		name := newPool(t, 1)
		release := holdSlot(t, name)
		waiter := mustStart(t, poolrun(t, "--pool", name, "true"))
		waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
		// While it stands at the gate, nobody needs its bell.
		eventually(t, "the first in line keeping watch", func() bool { return hasInotify(waiter.Process.Pid) })
		mustPatch(t, ledgerOf(name), recordsAt+recordSize+bellAt, binary.LittleEndian.AppendUint32(nil, bell)...)
		wantRepaired(t, name, fmt.Sprintf("mended: record 2 has bell %d", bell))
		release()
		if err := waiter.Wait(); err != nil {
			t.Error(err)
		}
		wantUsable(t, name)
	}
}

// How often waiters look depends on how many processes there are in line.
func TestRepairMendsTheCountOfSleepers(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	waiter := mustStart(t, poolrun(t, "--pool", name, "true"))
	waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
	mustPatch(t, ledgerOf(name), sleepersAt, 7, 0, 0, 0)
	wantRepaired(t, name, "mended: 7 processes are noted as asleep in line, and 1 are")
	release()
	if err := waiter.Wait(); err != nil {
		t.Error(err)
	}
	wantUsable(t, name)
}

func TestRepairTakesTheDeadOutOfTheMiddleOfTheLine(t *testing.T) {
	name := newPool(t, 1)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	line := lineUp(t, name, file, 3, noFlags)
	kill(t, line[1].Process.Pid)
	line[1].Wait()
	wantRepaired(t, name, "mended: process "+itoa(line[1].Process.Pid)+" had died in line")
	if s := statusOf(t, name); s.Waiting != 2 {
		t.Errorf("status %+v", s)
	}
	release()
	line[0].Wait()
	line[2].Wait()
	wantUsable(t, name)
}

func TestRepairPutsBackWhatAForeignProgramTookToItsGrave(t *testing.T) {
	name := newPool(t, 2)
	mustSem(t, "wait", name)
	wantRepaired(t, name, "mended: 1 slot missing")
	wantUsable(t, name)

	// ... but not while one lives that may hold it.
	mustSem(t, "wait", name)
	holder := mustStart(t, sem(t, "hold", name, "sleep", "1000"))
	waitStatus(t, name, "both taken", func(s status) bool { return s.Available == 0 })
	wantSaid(t, poolrun(t, "repair", name), 2, "left: 2 slots missing")
	syscall.Kill(-holder.Process.Pid, syscall.SIGKILL)
	holder.Wait()
	wantRepaired(t, name, "mended: 2 slots missing")

	mustSem(t, "wait", name)
	living := mustStart(t, sem(t, "hold", name, "sleep", "1000"))
	waitStatus(t, name, "both taken", func(s status) bool { return s.Available == 0 })
	wantRepaired(t, name, "by force", "--force")
	syscall.Kill(-living.Process.Pid, syscall.SIGKILL)
	living.Wait()
	wantUsable(t, name)
}

func TestRepairTakesAwayWhatWasPostedAndNeverTaken(t *testing.T) {
	name := newPool(t, 1)
	mustSem(t, "post", name)
	wantRepaired(t, name, "mended: 1 slot too many")
	wantUsable(t, name)
}

func TestRepairMakesARemovedSemaphoreAgain(t *testing.T) {
	name := newPool(t, 2)
	release := holdSlot(t, name)
	os.Remove(semaphoreOf(name))
	wantSaid(t, poolrun(t, "repair", name), 2, "left: its semaphore was removed while process ")
	release()
	wantRepaired(t, name, "mended: its semaphore was removed")
	wantUsable(t, name)

	// ... but not while a program lives that may hold a slot by the old one.
	holder := mustStart(t, sem(t, "hold", name, "sleep", "1000"))
	waitStatus(t, name, "one taken", func(s status) bool { return s.Available == 1 })
	os.Remove(semaphoreOf(name))
	wantSaid(t, poolrun(t, "repair", name), 2, "left: its semaphore was removed while processes ")
	syscall.Kill(-holder.Process.Pid, syscall.SIGKILL)
	holder.Wait()
	wantRepaired(t, name, "mended: its semaphore was removed")
	wantUsable(t, name)
}

// An intent that nobody can have written hides whether a change was going on.
func TestRepairClearsAnIntentThatMakesNoSense(t *testing.T) {
	// Kind, participant, the size and the debt after the change.
	for _, intent := range [][4]uint32{{99, 1}, {1, 0}, {1, 9000}, {6, 9000}, {6, 0, 9000, 0}, {6, 0, 1, 9000}} {
		name := newPool(t, 1)
		var text []byte
		for _, word := range []uint32{intent[0], intent[1], 0, 0, 0, 0, intent[2], intent[3]} {
			text = binary.LittleEndian.AppendUint32(text, word)
		}
		mustPatch(t, ledgerOf(name), intentAt, text...)
		wantSaid(t, poolrun(t, "--pool", name, "-n", "true"), 2, "is damaged")
		wantRepaired(t, name, "mended: a change was cut off by the death of its author")
		wantUsable(t, name)
	}
}

func TestRepairMakesARemovedLedgerAgain(t *testing.T) {
	name := newPool(t, 3)
	release := holdSlot(t, name)
	os.Remove(ledgerOf(name))
	wantSaid(t, poolrun(t, "repair", name), 2, "left: its ledger was removed")
	release()
	wantRepaired(t, name, "made again, with the 3 slots")
	wantUsable(t, name)
}

// Only the tag tells a pool's semaphore from another: value and sleepers can be alike.
func TestRepairLeavesAloneWhatIsNoPool(t *testing.T) {
	name := freeName(t)
	wantSaid(t, poolrun(t, "repair", name), 2, "no pool "+name)
	mustSem(t, "create", name, "0")
	waiter := sem(t, "wait", name)
	next := startLines(t, waiter)
	next()
	eventually(t, "a sleeper counted", func() bool { return isInState(waiter.Process.Pid, 'S') })
	kill(t, waiter.Process.Pid) // it leaves its count behind
	waiter.Wait()
	mustSem(t, "post", name)
	wantSaid(t, poolrun(t, "repair", name), 2, "the semaphore of that name belongs to another program")
	if value := mustSem(t, "value", name); value != "1" {
		t.Errorf("value %s", value)
	}

	barrier := freeName(t)
	mustStart(t, poolrun(t, "barrier", barrier, "--parties", "2"))
	wantPresent(t, barrier, 1)
	wantSaid(t, poolrun(t, "repair", barrier+".arrival"), 2, "belongs to a barrier")
	mustRun(t, "barrier", barrier, "--parties", "2", "--timeout", "20s")
}

// Whoever repairs: owner, group and mode stay those of the file that is left.
func TestRepairKeepsOwnerGroupAndMode(t *testing.T) {
	const owner, group = 39001, 39003
	for what, file := range map[string]func(string) string{"semaphore": semaphoreOf, "ledger": ledgerOf} {
		t.Run(what, func(t *testing.T) {
			name := freeName(t)
			wantSaid(t, asUser(t, owner, group, nil, "init", name, "--size", "2", "--mode", "0660", "--group", itoa(group)), 0, "")
			os.Remove(file(name))
			// A member cannot give a file away, and must not put its own in the place.
			wantSaid(t, asUser(t, owner+1, group, nil, "repair", name), 2, "")
			wantSaid(t, asUser(t, 0, group, nil, "repair", name), 0, "made again")
			for _, path := range []string{semaphoreOf(name), ledgerOf(name)} {
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				if st := info.Sys().(*syscall.Stat_t); st.Uid != owner || st.Gid != group || info.Mode().Perm() != 0o660 {
					t.Errorf("%s: user %d, group %d, mode %v", path, st.Uid, st.Gid, info.Mode())
				}
			}
			wantSaid(t, asUser(t, owner+1, group, nil, "--pool", name, "-k", "2", "-n", "true"), 0, "")
		})
	}
}

func hasInotify(pid int) bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	return slices.ContainsFunc(files, func(file string) bool {
		target, _ := os.Readlink(file)
		return target == "anon_inode:inotify"
	})
}
