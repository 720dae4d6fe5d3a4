package tests

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// ready is the beginning of a script that says when it runs, and with which pid.
const ready = "echo $$; "

// wantEnded waits until a process has ended.
func wantEnded(t testing.TB, pid int) {
	t.Helper()
	eventually(t, fmt.Sprint("the end of process ", pid), func() bool {
		return syscall.Kill(pid, 0) == syscall.ESRCH || isInState(pid, 'Z')
	})
}

// readPID reads a pid from a command's next line, and kills that process if the test fails.
func readPID(t testing.TB, next func() string) int {
	t.Helper()
	pid, err := strconv.Atoi(next())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return pid
}

// After its time the command gets SIGTERM, and is left the chance to end in its own way.
func TestMaxRuntimeEndsTheCommand(t *testing.T) {
	for name, test := range map[string]struct {
		flags  []string
		script string
		want   string // what the script prints
	}{
		"it dies":                         {nil, "sleep 1000", ""},
		"it exits by itself":              {nil, "trap 'echo term; exit 3' TERM; sleep 1000 & wait", "term"},
		"it ignores SIGTERM":              {[]string{"--kill-after", "0.1"}, "trap '' TERM; while :; do sleep 1000; done", ""},
		"no time to end":                  {[]string{"--kill-after", "0"}, "trap '' TERM; while :; do sleep 1000; done", ""},
		"it has stopped itself":           {nil, "trap 'echo term; exit' TERM; kill -STOP $$; sleep 1000", "term"},
		"a group of its own":              {nil, "exec setsid -w sh -c 'sleep 1000; echo not killed'", ""},
		"what it waits for, in its group": {nil, "sleep 1000; echo; sleep 1000", ""},
		"what it has left behind":         {nil, "(sleep 1000 & echo $! >left); sleep 1000", ""},
	} {
		t.Run(name, func(t *testing.T) {
			name := newPool(t, 1)
			cmd := poolrun(t, append(append([]string{"--pool", name, "--max-runtime", "0.2"}, test.flags...), "sh", "-c", test.script)...)
			cmd.Dir = t.TempDir()
			defer func() {
				if text, err := os.ReadFile(cmd.Dir + "/left"); err == nil {
					left, _ := strconv.Atoi(strings.TrimSpace(string(text)))
					wantEnded(t, left)
				}
			}()
			var out strings.Builder
			cmd.Stdout = &out
			if code := exitCode(t, cmd); code != 124 || strings.TrimSpace(out.String()) != test.want {
				t.Errorf("exit code %d, %q", code, out.String())
			}
			wantEmpty(t, name)
		})
	}
}

// A child of the command that is in its process group gets the signals too, as from timeout(1). One
// that has left it does not, and other members of the group, such as this process's pipeline, do not.
func TestMaxRuntimeReachesTheCommandsJob(t *testing.T) {
	name := newPool(t, 1)
	cmd := command(t, "sh", "-c", `sleep 1000 & bystander=$!; echo $bystander
		poolrun --pool $POOL --max-runtime 0.3 sh -c 'sleep 1000 & echo $!; setsid sh -c "echo \$\$; exec sleep 1000" & wait'
		echo $?; kill $bystander`)
	cmd.Env = append(cmd.Env, "POOL="+name)
	next := startLines(t, cmd)
	bystander, inside, outside := readPID(t, next), readPID(t, next), readPID(t, next)
	wantLine(t, next, "124")
	wantEnded(t, inside)
	if syscall.Kill(outside, 0) != nil || isInState(outside, 'Z') {
		t.Error("a process of another session was signalled")
	}
	kill(t, outside)
	wantExit(t, 0, cmd)
	wantEnded(t, bystander)
}

// A command that is quick enough exits as it would, and a limit of 0 or infinity is none.
func TestACommandWithinItsRuntimeIsNotDisturbed(t *testing.T) {
	name := newPool(t, 1)
	for _, limit := range []string{"1000", "1d", "0", "infinity"} {
		wantResult(t, poolrun(t, "--pool", name, "--max-runtime", limit, "sh", "-c", "echo done; exit 3"), 3, "done")
	}
	cmd := poolrun(t, "--pool", name, "sleep", "1000")
	cmd.Env = append(cmd.Env, "POOLRUN_MAX_RUNTIME=0.1")
	wantExit(t, 124, mustStart(t, cmd))
	wantSignal(t, syscall.SIGTERM, mustStart(t, poolrun(t, "--pool", name, "--max-runtime", "100", "sh", "-c", "kill -TERM $$")))
	wantEmpty(t, name)
}

// daemon is a script that starts a daemon as daemons start themselves: in a session of its own, with
// another parent, and no descriptor open. It prints the daemon's pid when that is all done. The daemon
// lives until the file stop exists.
const daemon = `setsid -f sh -c 'echo $$ >daemon.new; mv daemon.new daemon; exec closing sh -c "until [ -e stop ]; do sleep 0.01; done"' <&- >&- 2>&-
	until [ -e daemon ]; do sleep 0.01; done; cat daemon`

// With --wait-tree the slot is kept until the last descendant of the command has ended, and poolrun
// exits as the command itself did.
func TestWaitTreeKeepsTheSlotForDaemons(t *testing.T) {
	name := newPool(t, 1)
	cmd := poolrun(t, "--pool", name, "--wait-tree", "sh", "-c", daemon+"; exit 7")
	cmd.Dir = t.TempDir()
	next := startLines(t, cmd)
	pid := readPID(t, next)
	// The daemon stands for the command after that has ended.
	waitStatus(t, name, "the daemon as the holder", func(s status) bool { return s.InUse == 1 && s.Holders[0].CommandPID == pid })
	wantBusy(t, name)
	if err := os.WriteFile(cmd.Dir+"/stop", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	wantExit(t, 7, cmd)
	wantEmpty(t, name)
}

// Without it, the slot is free when the command has ended.
func TestADaemonDoesNotKeepTheSlotByItself(t *testing.T) {
	name := newPool(t, 1)
	cmd := poolrun(t, "--pool", name, "sh", "-c", daemon)
	cmd.Dir = t.TempDir()
	pid := readPID(t, startLines(t, cmd))
	wantExit(t, 0, cmd)
	wantUsable(t, name)
	kill(t, pid)
}

// Signals reach what is left of the tree, and so does the limit on its run time.
func TestTheRestOfATreeIsSignalled(t *testing.T) {
	name := newPool(t, 1)
	for what, test := range map[string]struct {
		flags  []string
		signal syscall.Signal
		code   int
	}{
		"SIGTERM":       {nil, syscall.SIGTERM, 0},
		"--max-runtime": {[]string{"--max-runtime", "0.5"}, 0, 124},
	} {
		t.Run(what, func(t *testing.T) {
			cmd := poolrun(t, append(append([]string{"--pool", name, "--wait-tree"}, test.flags...), "sh", "-c", daemon)...)
			cmd.Dir = t.TempDir()
			pid := readPID(t, startLines(t, cmd))
			if test.signal != 0 {
				waitStatus(t, name, "the daemon as the holder", func(s status) bool { return s.InUse == 1 && s.Holders[0].CommandPID == pid })
				cmd.Process.Signal(test.signal)
			}
			wantExit(t, test.code, cmd)
			wantEnded(t, pid)
			wantEmpty(t, name)
		})
	}
}

// The tree has ended when the kernel says so: a look at /proc can miss a process, and the last one can
// end during the look.
func TestTheEndOfATreeIsExact(t *testing.T) {
	name := newPool(t, 1)
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip(err)
	}
	// One process after the other, each started by the one before.
	hopping := poolrun(t, "--pool", name, "--wait-tree", "python3", "-c", `
import os, time
if os.fork(): os._exit(0)
end = time.time() + 1
while time.time() < end:
    if os.fork(): os._exit(0)
open("ended", "w")`)
	hopping.Dir = t.TempDir()
	wantResult(t, hopping, 0, "^$")
	if _, err := os.Stat(hopping.Dir + "/ended"); err != nil {
		t.Error("poolrun did not wait for the last process")
	}
	// A process whose main thread has ended.
	headless := poolrun(t, "--pool", name, "--wait-tree", "python3", "-c", `
import os, time, threading, ctypes
if os.fork(): time.sleep(0.3); os._exit(0)
threading.Thread(target=lambda: (time.sleep(0.6), open("thread", "w"), os._exit(0))).start()
ctypes.CDLL(None).pthread_exit(None)`)
	headless.Dir = t.TempDir()
	wantResult(t, headless, 0, "^$")
	if _, err := os.Stat(headless.Dir + "/thread"); err != nil {
		t.Error("poolrun did not wait for a process without a main thread")
	}
	// The end of the last process is not missed.
	for i := range 20 {
		wantResult(t, poolrun(t, "--pool", name, "--wait-tree", "python3", "-c", fmt.Sprintf(`
import os, time
if os.fork() == 0:
    end = time.monotonic() + %d * 3e-4
    while time.monotonic() < end: pass
os._exit(0)`, i)), 0, "^$")
	}
	wantEmpty(t, name)
}

// After the command of a tree has ended, poolrun stops together with the process that stands for it,
// and does not stay stopped when that ends.
func TestARestOfATreeStopsAndContinues(t *testing.T) {
	name := newPool(t, 1)
	cmd := command(t, "sh", "-c", "set -m; poolrun --pool $POOL --wait-tree sh -c 'sleep 1000 >/dev/null & echo $!' & wait $!; wait $!; echo ended $?")
	cmd.Env = append(cmd.Env, "POOL="+name)
	next := startLines(t, cmd)
	pid := readPID(t, next)
	s := waitStatus(t, name, "the rest as the holder", func(s status) bool { return s.InUse == 1 && s.Holders[0].CommandPID == pid })
	syscall.Kill(pid, syscall.SIGTSTP)
	waitForState(t, 'T', s.Holders[0].PID, pid)
	syscall.Kill(pid, syscall.SIGKILL)
	wantLine(t, next, "ended 0")
	wantExit(t, 0, cmd)
	wantEmpty(t, name)
}

// A child that poolrun's process had before it became poolrun is not part of the tree: it is not waited
// for, and not signalled.
func TestATreeDoesNotContainStrangers(t *testing.T) {
	name := newPool(t, 1)
	for run, code := range map[string]int{
		"--wait-tree sh -c 'exit 4'":               4,
		"--wait-tree --max-runtime 0.2 sleep 1000": 124,
	} {
		cmd := command(t, "sh", "-c", "sleep 1000 & echo $!; exec poolrun --pool $POOL "+run)
		cmd.Env = append(cmd.Env, "POOL="+name)
		pid := readPID(t, startLines(t, cmd))
		wantExit(t, code, cmd)
		if isInState(pid, 'Z') || syscall.Kill(pid, 0) != nil {
			t.Errorf("%s has ended the stranger", run)
		}
		kill(t, pid)
	}
	wantEmpty(t, name)
}

// With --die-with-parent the command ends with poolrun, even if that is killed.
func TestDieWithParentKillsTheCommand(t *testing.T) {
	name := newPool(t, 1)
	for _, flag := range []bool{true, false} {
		args := []string{"--pool", name}
		if flag {
			args = append(args, "--die-with-parent")
		}
		cmd := poolrun(t, append(args, "sh", "-c", ready+"exec sleep 1000")...)
		pid := readPID(t, startLines(t, cmd))
		cmd.Process.Kill()
		cmd.Wait()
		if flag {
			wantEnded(t, pid)
		} else if syscall.Kill(pid, 0) != nil {
			t.Error("the command has ended without the flag")
		} else {
			kill(t, pid)
		}
		waitStatus(t, name, "a free slot", func(s status) bool { return s.InUse == 0 })
	}
}

// What needs a process beside the command does not go with --no-fork. Each conflict is reported.
func TestNoForkRefusesWhatNeedsASupervisor(t *testing.T) {
	name := newPool(t, 1)
	for _, args := range [][]string{{"--max-runtime", "5"}, {"--wait-tree"}, {"--die-with-parent"}, {"--log", "/dev/null"}, {"--close"}} {
		wantRefused(t, "--no-fork", append(append([]string{"--pool", name, "--no-fork"}, args...), "true")...)
	}
	cmd := poolrun(t, "--pool", name, "--no-fork", "--wait-tree", "--close", "true")
	wantResult(t, cmd, 2, `^poolrun: .*\npoolrun: .*\nhint: .*\n$`)
	for _, variable := range []string{"POOLRUN_MAX_RUNTIME=5", "POOLRUN_LOG=/dev/null"} {
		cmd := poolrun(t, "--pool", name, "--no-fork", "true")
		cmd.Env = append(cmd.Env, variable)
		wantResult(t, cmd, 2, "--no-fork")
	}
	cmd = poolrun(t, "--pool", name, "--no-fork", "--max-runtime", "0", "true")
	cmd.Env = append(cmd.Env, "POOLRUN_MAX_RUNTIME=5", "POOLRUN_LOG=")
	wantResult(t, cmd, 0, "")
}
