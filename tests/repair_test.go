package tests

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// Offsets in the ledger. A test of package pool keeps them as they are.
const (
	inUseAt    = 48
	firstAt    = 56
	intentAt   = 248
	sleepersAt = 288
	holdersAt  = 4096
	recordsAt  = 4096 + 4*4096 + 128*4096
	recordSize = 320
	bellAt     = 92 // within a record
)

func wantRepaired(t testing.TB, name, mended string, flags ...string) {
	t.Helper()
	wantResult(t, poolrun(t, append([]string{"repair", name}, flags...)...), 0, mended)
	wantResult(t, poolrun(t, "repair", name), 0, "^pool "+name+" is sound\n$")
}

func TestRepairMendsABrokenLine(t *testing.T) {
	name := newPool(t, 1)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	line := lineUp(t, name, file, 3, noFlags)
	// From then on the first in line looks at the ledger only once a second.
	eventually(t, "the first in line keeping watch", func() bool { return hasOpen(line[0].Process.Pid, "anon_inode:inotify") })
	patch(t, ledgerOf(name), firstAt, 0, 0, 0, 0)
	wantRepaired(t, name, "mended: .*line")
	release()
	wantExit(t, 0, line...)
	wantOrder(t, file, 0, 1, 2)
	wantUsable(t, name)
}

func TestRepairMendsTheTableOfHolders(t *testing.T) {
	name := newPool(t, 2)
	release := holdSlot(t, name)
	patch(t, ledgerOf(name), holdersAt, 0, 0, 0, 0, 7, 0, 0, 0)
	patch(t, ledgerOf(name), inUseAt, 2)
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
	patch(t, ledgerOf(name), recordsAt, 77)
	wantRepaired(t, name, "mended: record 1 .*77")
	wantUsable(t, name)
}

// The record of a process names its bell, the word on which it sleeps.
func TestRepairMendsAnInvalidBell(t *testing.T) {
	for _, bell := range []uint32{0, 9000} {
		name := newPool(t, 1)
		release := holdSlot(t, name)
		waiter := startWaiter(t, name)
		// While it waits at the gate, no process needs its bell.
		eventually(t, "the first in line keeping watch", func() bool { return hasOpen(waiter.Process.Pid, "anon_inode:inotify") })
		patch(t, ledgerOf(name), recordsAt+recordSize+bellAt, binary.LittleEndian.AppendUint32(nil, bell)...)
		wantRepaired(t, name, fmt.Sprintf("mended: record 2 .*bell %d", bell))
		release()
		wantExit(t, 0, waiter)
		wantUsable(t, name)
	}
}

// The count of sleepers determines how often the waiters look at the ledger.
func TestRepairMendsTheCountOfSleepers(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	waiter := startWaiter(t, name)
	patch(t, ledgerOf(name), sleepersAt, 7, 0, 0, 0)
	wantRepaired(t, name, "mended: .*7.* 1 ")
	release()
	wantExit(t, 0, waiter)
	wantUsable(t, name)
}

func TestRepairTakesTheDeadOutOfTheMiddleOfTheLine(t *testing.T) {
	name := newPool(t, 1)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	line := lineUp(t, name, file, 3, noFlags)
	kill(t, line[1].Process.Pid)
	line[1].Wait()
	wantRepaired(t, name, fmt.Sprintf("mended: .*%d.* line", line[1].Process.Pid))
	if s := statusOf(t, name); s.Waiting != 2 {
		t.Errorf("status %+v", s)
	}
	release()
	line[0].Wait()
	line[2].Wait()
	wantUsable(t, name)
}

func TestRepairPutsBackTheSlotsOfAProgramThatHasExited(t *testing.T) {
	name := newPool(t, 2)
	mustSem(t, "wait", name)
	wantRepaired(t, name, "mended: 1 slot")
	wantUsable(t, name)

	// While a program lives that may hold them, they stay away unless --force is given.
	mustSem(t, "wait", name)
	holder, _ := startSemHolder(t, name, 0)
	wantResult(t, poolrun(t, "repair", name), 2, "left: 2 slots")
	syscall.Kill(-holder.Process.Pid, syscall.SIGKILL)
	holder.Wait()
	wantRepaired(t, name, "mended: 2 slots")

	mustSem(t, "wait", name)
	living, _ := startSemHolder(t, name, 0)
	wantRepaired(t, name, "mended: .*force", "--force")
	syscall.Kill(-living.Process.Pid, syscall.SIGKILL)
	living.Wait()
	wantUsable(t, name)
}

func TestRepairMakesARemovedSemaphoreAgain(t *testing.T) {
	name := newPool(t, 2)
	release := holdSlot(t, name)
	os.Remove(semaphoreOf(name))
	wantResult(t, poolrun(t, "repair", name), 2, "left: .*semaphore .*removed")
	release()
	wantRepaired(t, name, "mended: .*semaphore .*removed")
	wantUsable(t, name)

	// Not while a program lives that may hold a slot by the removed semaphore.
	holder, _ := startSemHolder(t, name, 1)
	os.Remove(semaphoreOf(name))
	wantResult(t, poolrun(t, "repair", name), 2, "left: .*semaphore .*removed")
	syscall.Kill(-holder.Process.Pid, syscall.SIGKILL)
	holder.Wait()
	wantRepaired(t, name, "mended: .*semaphore .*removed")
	wantUsable(t, name)
}

// Behind an intent that no process can have written, there may or may not be a change.
func TestRepairClearsAnIntentThatMakesNoSense(t *testing.T) {
	// Kind, participant, the size and the debt after the change.
	for _, intent := range [][4]uint32{{99, 1}, {1, 0}, {1, 9000}, {6, 9000}, {6, 0, 9000, 0}, {6, 0, 1, 9000}} {
		name := newPool(t, 1)
		var text []byte
		for _, word := range []uint32{intent[0], intent[1], 0, 0, 0, 0, intent[2], intent[3]} {
			text = binary.LittleEndian.AppendUint32(text, word)
		}
		patch(t, ledgerOf(name), intentAt, text...)
		wantResult(t, poolrun(t, "--pool", name, "-n", "true"), 2, "damaged")
		wantRepaired(t, name, "mended: ")
		wantUsable(t, name)
	}
}

func TestRepairMakesARemovedLedgerAgain(t *testing.T) {
	name := newPool(t, 3)
	release := holdSlot(t, name)
	os.Remove(ledgerOf(name))
	wantResult(t, poolrun(t, "repair", name), 2, "left: .*ledger .*removed")
	release()
	wantRepaired(t, name, "mended: .*ledger.*3 slots")
	wantUsable(t, name)
}

// repair does not make a pool of another program's semaphore. Only the tag distinguishes the
// two: value and sleepers can be alike.
func TestRepairLeavesAloneWhatIsNoPool(t *testing.T) {
	name := freeName(t)
	wantResult(t, poolrun(t, "repair", name), 2, "no pool "+name)
	mustSem(t, "create", name, "0")
	waiter, _ := startSemWaiter(t, name)
	end(waiter) // it leaves its count of sleepers behind
	mustSem(t, "post", name)
	wantResult(t, poolrun(t, "repair", name), 2, "belongs to another program")
	if value := mustSem(t, "value", name); value != "1" {
		t.Errorf("value %s", value)
	}

	barrier := freeName(t)
	mustStart(t, poolrun(t, "barrier", barrier, "--parties", "2"))
	waitForParties(t, barrier, 1)
	wantResult(t, poolrun(t, "repair", barrier+".arrival"), 2, "belongs to a barrier")
	mustRun(t, "barrier", barrier, "--parties", "2", "--timeout", "20s")
}

// The file that repair makes again has the owner, group and mode of the other one, whichever
// user repairs.
func TestRepairKeepsOwnerGroupAndMode(t *testing.T) {
	const owner, group = 39001, 39003
	for what, file := range map[string]func(string) string{"semaphore": semaphoreOf, "ledger": ledgerOf} {
		t.Run(what, func(t *testing.T) {
			name := freeName(t)
			wantResult(t, asUser(t, owner, group, nil, "init", name, "--size", "2", "--mode", "0660", "--group", strconv.Itoa(group)), 0, "")
			os.Remove(file(name))
			// A member of the group cannot give a file to the owner. So it cannot repair.
			wantResult(t, asUser(t, owner+1, group, nil, "repair", name), 2, "")
			wantResult(t, asUser(t, 0, group, nil, "repair", name), 0, "mended: ")
			eachFileOf(t, name, func(path string, st syscall.Stat_t) {
				if st.Uid != owner || st.Gid != group || st.Mode&0o777 != 0o660 {
					t.Errorf("%s: user %d, group %d, mode %o", path, st.Uid, st.Gid, st.Mode)
				}
			})
			wantResult(t, asUser(t, owner+1, group, nil, "--pool", name, "-k", "2", "-n", "true"), 0, "")
		})
	}
}
