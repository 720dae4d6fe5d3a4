package tests

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inside lets a command run in a pid namespace of its own, as in a container that
// shares /dev/shm.
func inside(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	needRoot(t)
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
	return cmd
}

// A pid means nothing in another pid namespace. The kernel's locks do.
func TestPidNamespacesShareAPool(t *testing.T) {
	name := newPool(t, 1)
	// Its pid there is 1, which is another process here.
	holder := mustStart(t, inside(t, poolrun(t, "--pool", name, "sleep", "1000")))
	s := waitForCommand(t, name)
	if s.Holders[0].PID != 1 || s.Holders[0].State != "running" {
		t.Errorf("status %+v", s)
	}
	wantBusy(t, name)
	waiter := mustStart(t, inside(t, poolrun(t, "--pool", name, "true")))
	waitForLine(t, name, 1)
	last := mustStart(t, poolrun(t, "--pool", name, "true"))
	waitForLine(t, name, 2)
	kill(t, holder.Process.Pid) // the command dies with process 1 of its namespace
	holder.Wait()
	wantExit(t, 0, waiter, last)
	wantUsable(t, name)
}

// Process 1 of a pid namespace cannot die of a signal. So poolrun exits with the code that a
// shell would show.
func TestPoolrunAsProcess1PassesSignalsAndExitCodesOn(t *testing.T) {
	name := newPool(t, 1)
	cmd := inside(t, poolrun(t, "--pool", name, "signals"))
	next := startLines(t, cmd)
	next()
	cmd.Process.Signal(syscall.SIGUSR1)
	wantLine(t, next, "user defined signal 1")
	cmd.Process.Signal(syscall.SIGTERM)
	wantExit(t, 0, cmd)
	wantResult(t, inside(t, poolrun(t, "--pool", name, "sh", "-c", "kill -TERM $$")), 143, "")
	wantUsable(t, name)
}

// A tree is seen in /proc, which has to be that of the namespace.
func TestATreeNeedsTheProcOfItsNamespace(t *testing.T) {
	name := newPool(t, 1)
	ran := t.TempDir() + "/ran"
	wantResult(t, inside(t, poolrun(t, "--pool", name, "--wait-tree", "touch", ran)), 2, "/proc is that of another pid namespace")
	if _, err := os.Stat(ran); err == nil {
		t.Error("the command ran")
	}
	wantUsable(t, name)
	wantResult(t, command(t, "unshare", "--pid", "--fork", "--mount-proc", binaries.poolrun, "--pool", name, "--wait-tree", "sh", "-c", "sleep 0.1 & exit 3"), 3, "")
	wantUsable(t, name)
}

// The kernel's protection of files in sticky directories, as most systems have it, does not
// keep a group from sharing a pool.
func TestAGroupSharesAPoolInAProtectedStickyDirectory(t *testing.T) {
	needRoot(t)
	for path, value := range map[string]string{"/proc/sys/fs/protected_regular": "2", "/proc/sys/fs/protected_symlinks": "1"} {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { os.WriteFile(path, before, 0) })
	}
	name := freeName(t)
	mustRun(t, "init", name, "--size", "1", "--mode", "0660", "--group", strconv.Itoa(nobody))
	wantResult(t, asNobody(t, poolrun(t, "--pool", name, "--size", "1", "true")), 0, "")
	wantUsable(t, name)
	stranger := freeName(t)
	wantResult(t, asNobody(t, poolrun(t, "init", stranger, "--size", "1")), 0, "")
	wantResult(t, poolrun(t, "--pool", stranger, "--size", "1", "true"), 2, "belongs to ")
}

// A first in line that cannot see the pid of a holder without a guard does not have to wait for ever:
// somebody behind it sees that the holder is dead.
func TestAWaiterProvesADeathForTheFirstInLine(t *testing.T) {
	for what, args := range map[string][]string{"no guard": {"closing", "sleep", "1000"}, "no fork": {"--no-fork", "sleep", "1000"}} {
		t.Run(what, func(t *testing.T) {
			name := newPool(t, 1)
			holder := mustStart(t, poolrun(t, append([]string{"--pool", name}, args...)...))
			pid := waitForCommand(t, name).Holders[0].CommandPID
			eventually(t, "the end of the guard", func() bool {
				return what == "no fork" || exec.Command("sh", "-c", fmt.Sprintf("! ls -l /proc/%d/fd | grep -q /dev/shm", pid)).Run() == nil
			})
			first := mustStart(t, inside(t, poolrun(t, "--pool", name, "true")))
			waitForLine(t, name, 1)
			second := mustStart(t, poolrun(t, "--pool", name, "true"))
			waitForLine(t, name, 2)
			end(holder)
			if pid != holder.Process.Pid {
				kill(t, pid)
			}
			wantExit(t, 0, first, second)
			wantEmpty(t, name)
		})
	}
}

// As process 1 of a pid namespace, poolrun reaps orphans.
func TestOrphansAreWaitedFor(t *testing.T) {
	name := newPool(t, 1)
	cmd := inside(t, poolrun(t, "--pool", name, "--", "sh", "-c", "(sh -c 'exit 0' & sh -c 'exit 0' &); echo ready; read line"))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	next := startLines(t, cmd)
	next()
	eventually(t, "no child except the command", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		return len(strings.Fields(string(children))) == 1
	})
	stdin.Close()
	cmd.Wait()
	wantEmpty(t, name)
}

// The number of a pid namespace is used again after its end. A process there is not the command that had
// its pid before, neither for a process outside, nor for those inside, which see the /proc of another
// namespace.
func TestALaterNamespaceOfTheSameNumberHoldsNothing(t *testing.T) {
	for _, others := range []string{"outside", "inside"} {
		name := newPool(t, 1)
		holder := mustStart(t, inside(t, poolrun(t, "--pool", name, "sleep", "1000")))
		waitForCommand(t, name)
		const record, namespaceAt, commandAt, seenAt = 4096 + 4*4096 + 128*4096, 40, 48, 56 // internal/ledger/layout.go
		eventually(t, "a tick after that in which the command was seen", func() bool {
			text := readFile(t, ledgerOf(name))
			seen := binary.NativeEndian.Uint64([]byte(text[record+seenAt:]))
			var now unix.Timespec
			err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
			return err == nil && seen != 0 && uint64(now.Nano())/1e7 > seen
		})
		later := mustStart(t, inside(t, command(t, "sleep", "1000")))
		var st syscall.Stat_t
		if err := syscall.Stat(fmt.Sprintf("/proc/%d/ns/pid", later.Process.Pid), &st); err != nil {
			t.Fatal(err)
		}
		patch(t, ledgerOf(name), record+namespaceAt, binary.NativeEndian.AppendUint32(nil, uint32(st.Ino))...)
		patch(t, ledgerOf(name), record+commandAt, binary.NativeEndian.AppendUint32(nil, 1)...)
		kill(t, holder.Process.Pid)
		holder.Wait()
		var waiters []*exec.Cmd
		if others == "inside" {
			first := under(t, "nsenter", poolrun(t, "--pool", name, "true"))
			first.Args = append([]string{"nsenter", "--target", fmt.Sprint(later.Process.Pid), "--pid", "--"}, first.Args[1:]...)
			waiters = append(waiters, mustStart(t, first))
		}
		waiters = append(waiters, mustStart(t, poolrun(t, "--pool", name, "true")))
		wantExit(t, 0, waiters...)
		end(later)
		wantUsable(t, name)
	}
}
