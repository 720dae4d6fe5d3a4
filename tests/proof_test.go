package tests

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poolrun/poolrun/gate"
)

// Absence of evidence is not evidence of death. If poolrun was killed and its command lives on,
// no other poolrun hands the slot out because it cannot see the command.

// unguarded starts a command that has no guard, kills its poolrun, and returns the
// command's pid. The command must be killed.
func unguarded(t *testing.T, name string, args ...string) (pid int) {
	t.Helper()
	cmd := mustStart(t, poolrun(t, append([]string{"--pool", name}, args...)...))
	s := waitForCommand(t, name)
	// It has noted the command's start time when it sleeps.
	waitForState(t, 'S', cmd.Process.Pid)
	pid = s.Holders[0].CommandPID
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	end(cmd)
	return pid
}

// wantHeld checks that a newcomer does not get the only slot, and that the slot is free
// after the command has ended.
func wantHeld(t *testing.T, name string, pid int, newcomer *exec.Cmd) {
	t.Helper()
	out, _ := newcomer.CombinedOutput()
	if code := shellCode(newcomer.ProcessState); code != 75 {
		t.Errorf("a newcomer: exit code %d, %s", code, out)
	}
	kill(t, pid)
	wantEmpty(t, name)
}

func TestAZombieLeaderIsNoProofOfDeath(t *testing.T) {
	for _, flag := range []string{"--close", "-q"} { // leaderless closes the guard in any case
		name := newPool(t, 1)
		pid := unguarded(t, name, flag, "leaderless")
		eventually(t, "the end of its main thread", func() bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err == nil && stateOf(string(stat)) == 'Z'
		})
		wantHeld(t, name, pid, poolrun(t, "--pool", name, "-n", "true"))
	}
}

// unshare prepares a run in other namespaces, by unshare(1).
func unshare(t testing.TB, flags string, args ...string) *exec.Cmd {
	t.Helper()
	needRoot(t)
	list := append(strings.Fields(flags), "--", binaries.poolrun)
	if err := exec.Command("unshare", append(strings.Fields(flags), "--", "true")...).Run(); err != nil {
		t.Skipf("unshare %s: %v", flags, err)
	}
	return command(t, "unshare", append(list, args...)...)
}

// In another time namespace a process seems to have started at another time. In another pid
// namespace, or with the /proc of another one, it seems not to exist.
func TestNoNamespaceIsAProofOfDeath(t *testing.T) {
	for _, flags := range []string{
		"--time --boottime 100000 --fork", "--time --boottime -100 --fork", "--pid --fork --mount-proc", "--pid --fork",
	} {
		t.Run(flags, func(t *testing.T) {
			name := newPool(t, 1)
			newcomer := unshare(t, flags, "--pool", name, "-n", "true")
			pid := unguarded(t, name, "--close", "sleep", "1000")
			wantHeld(t, name, pid, newcomer)
		})
	}
}

// poolrun soon notices that a command has closed its guard.
func TestAGuardThatTheCommandClosedIsNoProofOfDeath(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	for tries := range 20 {
		name := newPool(t, 1)
		newcomer := unshare(t, "--pid --fork --mount-proc", "--pool", name, "-n", "true")
		cmd := poolrun(t, "--pool", name, "bash", "-c", "exec 50<&-; echo closed; exec sleep 1000")
		next := startLines(t, cmd)
		wantLine(t, next, "closed")
		s := waitForCommand(t, name)
		time.Sleep(time.Duration(tries) * 50 * time.Millisecond) // a test cannot see whether poolrun has noticed
		end(cmd)
		held := exitCode(t, newcomer) == 75
		kill(t, s.Holders[0].CommandPID)
		wantEmpty(t, name)
		if held {
			return
		}
	}
	t.Error("the slot was handed out each time")
}

// With --no-fork nobody can notice it, so the guard proves nothing from the start.
func TestAGuardThatNobodyWatchesIsNoProofOfDeath(t *testing.T) {
	name := newPool(t, 1)
	newcomer := unshare(t, "--pid --fork --mount-proc", "--pool", name, "-n", "true")
	cmd := mustStart(t, poolrun(t, "--no-fork", "--pool", name, "closing", "sleep", "1000"))
	waitForCommand(t, name)
	eventually(t, "the guard closed", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d/fd/50", cmd.Process.Pid))
		return err != nil
	})
	wantHeld(t, name, cmd.Process.Pid, newcomer)
}

// The same with the holder in the other namespace.
func TestAHolderInANamespaceKeepsItsSlot(t *testing.T) {
	for _, flags := range []string{"--time --boottime 100000 --fork", "--time --boottime -100 --fork"} {
		t.Run(flags, func(t *testing.T) {
			name := newPool(t, 1)
			cmd := mustStart(t, unshare(t, flags, "--pool", name, "--close", "sleep", "1000"))
			s := waitForCommand(t, name)
			kill(t, s.Holders[0].PID)
			cmd.Wait()
			wantHeld(t, name, s.Holders[0].CommandPID, poolrun(t, "--pool", name, "-n", "true"))
		})
	}
}

// The initial pid namespace sees all processes, however long the status of a process is before
// the line with its pids.
func TestAHolderInAPidNamespaceKeepsItsSlot(t *testing.T) {
	unshare(t, "--pid --fork")             // or skip
	for _, groups := range []int{0, 700} { // a status of more than a page
		t.Run(fmt.Sprint(groups, " groups"), func(t *testing.T) {
			name := newPool(t, 1)
			start := binaries.poolrun + " --pool " + name + " --close sleep 1000"
			cmd := command(t, "unshare", "--pid", "--fork", "sh", "-c", start+" & read line; kill -KILL $!; echo killed; wait; read line")
			cmd.SysProcAttr.Credential = &syscall.Credential{}
			for i := range groups {
				cmd.SysProcAttr.Credential.Groups = append(cmd.SysProcAttr.Credential.Groups, uint32(1_000_000+i))
			}
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			next := startLines(t, cmd)
			waitForCommand(t, name)
			fmt.Fprintln(stdin)
			wantLine(t, next, "killed")
			for range 2 { // as a holder whose poolrun has just died, and as an orphan
				wantBusy(t, name)
			}
			stdin.Close() // the namespace ends, and the command with it
			cmd.Wait()
			eventually(t, "the slot free", func() bool { return exitCode(t, poolrun(t, "--pool", name, "-n", "true")) == 0 })
		})
	}
}

// Each pid namespace has a process 1, and only one of them is the command.
func TestAnotherProcess1HoldsNothing(t *testing.T) {
	name := newPool(t, 2)
	held := []string{"--no-fork", "--pool", name, "sleep", "1000"}
	dead, living := mustStart(t, unshare(t, "--pid --fork --kill-child", held...)), mustStart(t, unshare(t, "--pid --fork --kill-child", held...))
	s := waitStatus(t, name, "two commands", func(s status) bool { return s.commands() == 2 })
	if s.Holders[0].CommandPID != 1 || s.Holders[1].CommandPID != 1 {
		t.Errorf("%+v", s.Holders)
	}
	end(dead)
	waitStatus(t, name, "one command", func(s status) bool { return s.InUse == 1 })
	end(living)
	wantEmpty(t, name)
}

// If another process has the command's pid, the command is gone.
func TestARecycledPidHoldsNothing(t *testing.T) {
	name := newPool(t, 1)
	pid := unguarded(t, name, "--close", "sleep", "1000")
	kill(t, pid)
	eventually(t, "no process of this pid", func() bool { return unix.Kill(pid, 0) == unix.ESRCH })
	time.Sleep(30 * time.Millisecond) // a start time counts ticks of 10 ms
	recycled := recycle(t, pid)
	if recycled == nil {
		t.Skip("cannot choose a pid here")
	}
	defer end(recycled)
	wantEmpty(t, name)
}

// recycle starts a process with this pid, by ns_last_pid of proc_sys_kernel(5). It returns nil
// if that is impossible.
func recycle(t *testing.T, pid int) *exec.Cmd {
	t.Helper()
	for range 200 {
		if os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0) != nil {
			return nil
		}
		cmd := command(t, "sleep", "1000")
		mustStart(t, cmd)
		if cmd.Process.Pid == pid {
			return cmd
		}
		end(cmd)
	}
	return nil
}

// An age is the same in all time namespaces, and does not depend on a clock that can be set.
func TestAgesAreTheSameInAllTimeNamespaces(t *testing.T) {
	name := newPool(t, 1)
	cmd := mustStart(t, unshare(t, "--time --boottime 100000 --fork", "--pool", name, "sleep", "1000"))
	s := waitForCommand(t, name)
	defer cmd.Wait()
	defer kill(t, s.Holders[0].CommandPID)
	held := statusOf(t, name).Holders[0].Held
	if held < 0 || held > 60 {
		t.Errorf("held for %v s", held)
	}
}

// repair does not give away the slot of a living program that it cannot see.
func TestRepairLeavesAloneWhatItCannotSee(t *testing.T) {
	sem, err := buildC("sem")
	if err != nil {
		t.Skip(err)
	}
	jail := filepath.Join(t.TempDir(), "jail")
	if err := os.Mkdir(jail, 0o755); err != nil {
		t.Fatal(err)
	}
	ways := map[string]func(name string) (holder, repair *exec.Cmd){
		"another pid namespace": func(name string) (holder, repair *exec.Cmd) {
			return command(t, sem, "hold", name, "cat"), unshare(t, "--pid --fork --mount-proc", "repair", name)
		},
		"a chroot": func(name string) (holder, repair *exec.Cmd) {
			unshare(t, "--mount") // or skip
			script := fmt.Sprintf("mount --make-rprivate / && mount --rbind / %s && exec chroot %s %s hold %s cat", jail, jail, sem, name)
			return command(t, "unshare", "--mount", "sh", "-c", script), poolrun(t, "repair", name)
		},
	}
	for what, way := range ways {
		t.Run(what, func(t *testing.T) {
			name := newPool(t, 2)
			holder, repair := way(name)
			stdin, err := holder.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			mustStart(t, holder)
			waitStatus(t, name, "the slot of the C program", func(s status) bool { return s.Available == 1 })
			out, _ := repair.CombinedOutput()
			if code := shellCode(repair.ProcessState); code != 2 || !strings.Contains(string(out), "left: ") {
				t.Errorf("repair: exit code %d, %s", code, out)
			}
			if s := statusOf(t, name); s.Available != 1 {
				t.Errorf("%d available: the slot of a living program was given away", s.Available)
			}
			stdin.Close()
			holder.Wait()
			wantEmpty(t, name)
		})
	}
}

// A semaphore at its maximum cannot be posted. repair mends it, and a holder that ends before
// the repair reports no error.
func TestASpoiltSemaphoreIsMended(t *testing.T) {
	for what, harm := range map[string]func(t *testing.T, cmd *exec.Cmd, command int){
		"a dead holder": func(t *testing.T, cmd *exec.Cmd, command int) {
			kill(t, command)
			end(cmd)
		},
		"a holder that ends": func(t *testing.T, cmd *exec.Cmd, command int) {
			syscall.Kill(command, syscall.SIGTERM)
			cmd.Wait()
		},
	} {
		for _, value := range []uint32{gate.MaxValue, 1<<32 - 1} {
			t.Run(fmt.Sprintf("%s, %#x", what, value), func(t *testing.T) {
				name := newPool(t, 2)
				cmd := poolrun(t, "--pool", name, "sleep", "1000")
				var stderr strings.Builder
				cmd.Stderr = &stderr
				mustStart(t, cmd)
				s := waitForCommand(t, name)
				patch(t, semaphoreOf(name), 0, binary.LittleEndian.AppendUint32(nil, value)...)
				harm(t, cmd, s.Holders[0].CommandPID)
				if out := mustRun(t, "repair", name); !strings.Contains(out, "mended: ") || !strings.Contains(out, "sound") {
					t.Errorf("repair: %s", out)
				}
				if stderr.Len() > 0 {
					t.Errorf("the holder reported: %s", stderr.String())
				}
				wantEmpty(t, name)
				mustRun(t, "--pool", name, "-n", "-k", "2", "true")
			})
		}
	}
}
