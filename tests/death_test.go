package tests

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// startHolder starts a command that runs until it is killed, and returns the pids
// of poolrun and of the command.
func startHolder(t testing.TB, name string, args ...string) (cmd *exec.Cmd, child int) {
	t.Helper()
	before := statusOf(t, name).InUse
	cmd = mustStart(t, poolrun(t, append(append([]string{"--pool", name}, args...), "--", "sleep", "1000")...))
	waitStatus(t, name, "a command running", func(s status) bool {
		for _, h := range s.Holders {
			if h.PID == cmd.Process.Pid {
				child = h.CommandPID
			}
		}
		return s.InUse == before+1 && child != 0
	})
	t.Cleanup(func() {
		if cmd.ProcessState == nil || t.Failed() {
			syscall.Kill(child, syscall.SIGKILL)
		}
	})
	return cmd, child
}

// kill ends a process, and returns when its last thread has ended: until then it has
// its slot.
func kill(t testing.TB, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		t.Error(err)
	}
	eventually(t, "the end of a killed process", func() bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return n == 1 && err == nil
	})
}

func TestACommandKeepsItsSlotWhenPoolrunIsKilled(t *testing.T) {
	for what, flags := range map[string][]string{
		"through the descriptor that it inherits": nil,
		"through its pid":                         {"--close"},
	} {
		t.Run(what, func(t *testing.T) {
			name := newPool(t, 1)
			cmd, child := startHolder(t, name, flags...)
			kill(t, cmd.Process.Pid)
			cmd.Wait()
			s := statusOf(t, name)
			if s.InUse != 1 || s.Available != 0 || len(s.Holders) != 1 || s.Holders[0].State != "orphaned" || s.Holders[0].CommandPID != child {
				t.Errorf("status %+v", s)
			}
			if code := exitCode(t, poolrun(t, "--pool", name, "-n", "true")); code != 75 {
				t.Errorf("another got in: %d", code)
			}
			kill(t, child)
			waitStatus(t, name, "the slot free again", func(s status) bool { return s.InUse == 0 })
			wantEmpty(t, name)
			if n := statusOf(t, name).Counters; n.Reclaimed != 1 {
				t.Errorf("counters %+v", n)
			}
		})
	}
}

func TestTheSlotOfAKilledPairIsFreeForTheNextArrival(t *testing.T) {
	name := newPool(t, 1)
	cmd, child := startHolder(t, name)
	kill(t, cmd.Process.Pid)
	kill(t, child)
	cmd.Wait()
	eventually(t, "the command gone", func() bool { return syscall.Kill(child, 0) != nil || isZombie(child) })
	if code := exitCode(t, poolrun(t, "--pool", name, "-n", "true")); code != 0 {
		t.Errorf("exit code %d", code)
	}
	wantEmpty(t, name)
}

func isZombie(pid int) bool {
	text, err := os.ReadFile("/proc/" + itoa(pid) + "/stat")
	return err != nil || string(text) != "" && stateOf(string(text)) == 'Z'
}

// A waiter starts soon after the death of a killed holder: it is told, it does
// not find out at its next look.
func TestAWaiterStartsSoonAfterAHoldersDeath(t *testing.T) {
	name := newPool(t, 1)
	dir := t.TempDir()
	const rounds = 20
	var worst, sum time.Duration
	for i := range rounds {
		cmd, child := startHolder(t, name)
		started := filepath.Join(dir, itoa(i))
		waiter := mustStart(t, poolrun(t, "--pool", name, "touch", started))
		waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
		began := time.Now()
		kill(t, cmd.Process.Pid)
		kill(t, child)
		cmd.Wait()
		if err := waiter.Wait(); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		worst, sum = max(worst, took), sum+took
	}
	t.Logf("from the kill to the end of the next command: mean %v, worst %v", sum/rounds, worst)
	// A machine with other work to do may delay some. If nothing but the regular look
	// noticed the deaths, all would take half a second.
	if sum/rounds > 100*time.Millisecond {
		t.Errorf("mean %v, worst %v", sum/rounds, worst)
	}
	wantEmpty(t, name)
}

func TestTheDeathOfTheFirstInLineDoesNotHoldUpTheOthers(t *testing.T) {
	name := newPool(t, 1)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	line := lineUp(t, name, file, 3, noFlags)
	kill(t, line[0].Process.Pid)
	line[0].Wait()
	release()
	for _, cmd := range line[1:] {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if got := readFile(t, file); got != "1\n2\n" {
		t.Errorf("served %q", got)
	}
	wantEmpty(t, name)
}

// Those in a long line look after it rarely, and may come to its head before they look
// again. So they are told when the line has become short.
func TestTheDeathOfTheFirstInWhatWasALongLineDoesNotHoldUpTheOthers(t *testing.T) {
	name := newPool(t, 1)
	file := filepath.Join(t.TempDir(), "order")
	release := holdSlot(t, name)
	const n = 100
	line := lineUp(t, name, file, n, noFlags)
	for i, cmd := range line[:n-3] {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		waitStatus(t, name, "one less in line", func(s status) bool { return s.Waiting == n-1-i })
	}
	// Its own next look may be 20 s away.
	began := time.Now()
	first, second := line[n-3], line[n-2:n-1]
	for asleep := switches(t, second)[0]; switches(t, second)[0] == asleep; {
		time.Sleep(time.Millisecond) // until it has been told, and sleeps again
	}
	kill(t, first.Process.Pid)
	first.Wait()
	release()
	for _, cmd := range line[n-2:] {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the others waited for %v", took)
	}
	wantEmpty(t, name)
}

// A daemon that the command leaves behind holds nothing when the command has
// ended in an ordinary way.
func TestADaemonThatOutlivesTheCommandHoldsNothing(t *testing.T) {
	name := newPool(t, 1)
	pidFile := filepath.Join(t.TempDir(), "pid")
	mustRun(t, "--pool", name, "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $! > "+pidFile)
	var pid int
	scan(t, readFile(t, pidFile), &pid)
	defer kill(t, pid)
	wantEmpty(t, name)
}

func TestANestedCallRunsInsideTheAncestorsSlot(t *testing.T) {
	name := newPool(t, 1)
	out := mustRun(t, "--pool", name, "--", binaries.poolrun, "-v", "--pool", name, "--", "sh", "-c", "echo slot $POOLRUN_SLOT")
	if want := "slot 0"; !contains(out, want) || !contains(out, "in a slot of "+name) {
		t.Errorf("%q", out)
	}
	wantEmpty(t, name)
}

// Something on the way (sudo, su, ssh) clears the environment, or closes descriptors too:
// the inherited guard, or the ancestors, still show whose slot it is.
func TestANestedCallIsKnownWithoutItsEnvironment(t *testing.T) {
	inner := func(pool string) string {
		return "env -i PATH=$PATH " + binaries.poolrun + " -v --pool " + pool + " --timeout 10s -- sh -c 'echo slot $POOLRUN_SLOT'"
	}
	for what, command := range map[string][]string{
		"the guard":                {"sh", "-c", "true; " + inner("POOL")},
		"the ancestors":            {"--close", "sh", "-c", "true; " + inner("POOL")},
		"a command that closes it": {"sh", "-c", "closing " + inner("POOL")},
		"the process itself":       {"--close", "sh", "-c", "exec " + inner("POOL")},
	} {
		t.Run(what, func(t *testing.T) {
			name := newPool(t, 2)
			other := holdSlot(t, name) // which is not the one
			args := []string{"--pool", name}
			for _, arg := range command {
				args = append(args, strings.ReplaceAll(arg, "POOL ", name+" "))
			}
			out := mustRun(t, args...)
			if !contains(out, "slot 1") || !contains(out, "in a slot of "+name) {
				t.Errorf("%q", out)
			}
			if n := statusOf(t, name).Counters.Acquired; n != 2 {
				t.Errorf("%d acquired", n)
			}
			other()
			wantEmpty(t, name)
		})
	}
}

// A command that somebody else runs in the pool is nobody's ancestor; nor is one that
// had the same pid.
func TestWhoIsNoDescendantWaitsLikeEverybody(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	cmd := poolrun(t, "--pool", name, "-n", "true")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if code := exitCode(t, cmd); code != 75 {
		t.Errorf("exit code %d", code)
	}
	release()
	wantEmpty(t, name)
}

// What the environment says of a slot that was given back counts for nothing.
func TestAStaleHoldIsNotBelieved(t *testing.T) {
	name := newPool(t, 1)
	held := mustRun(t, "--pool", name, "sh", "-c", "printf %s \"$POOLRUN_HELD\"")
	release := holdSlot(t, name)
	cmd := poolrun(t, "--pool", name, "-n", "true")
	cmd.Env = append(cmd.Env, "POOLRUN_HELD="+held)
	if code := exitCode(t, cmd); code != 75 {
		t.Errorf("exit code %d", code)
	}
	release()
	wantEmpty(t, name)
}

// startListener starts a shell script in a slot, and returns once it runs: what
// poolrun says, and functions that send a line to the script and read one.
func startListener(t testing.TB, name, script string) (cmd *exec.Cmd, said *strings.Builder, tell func(string), next func() string) {
	t.Helper()
	cmd = poolrun(t, "--pool", name, "sh", "-c", "echo ready; "+script)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said = &strings.Builder{}
	cmd.Stderr = said
	next = startLines(t, cmd)
	next()
	return cmd, said, func(line string) { io.WriteString(stdin, line+"\n") }, next
}

// Whoever is stopped with the ledger lock in its hands holds up changes, but
// nobody hangs for ever, nothing is lost, and a command's status counts.
func TestAStuckLedgerLockHangsNobody(t *testing.T) {
	name := newPool(t, 1)
	holder, said, tell, _ := startListener(t, name, "read line; exit 5")
	lock, err := os.Open(ledgerOf(name))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	inTime := mustStart(t, poolrun(t, "--pool", name, "--timeout", "50ms", "true"))
	interrupted := []*exec.Cmd{
		mustStart(t, poolrun(t, "--pool", name, "true")),
		mustStart(t, poolrun(t, "--pool", name, "--nonblock", "true")),
	}
	looking := mustStart(t, poolrun(t, "status", name))
	tell("end")

	inTime.Wait()
	if code := shellCode(inTime); code != 75 {
		t.Errorf("with a timeout: %d", code)
	}
	for _, cmd := range interrupted {
		eventually(t, "SIGTSTP caught, the last", func() bool { return caughtMask(t, cmd.Process.Pid)&(1<<(syscall.SIGTSTP-1)) != 0 })
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if code := shellCode(cmd); code != 143 {
			t.Errorf("%q interrupted: %d", cmd.Args, code)
		}
	}
	looking.Wait()
	if code := shellCode(looking); code != 2 {
		t.Errorf("status: %d", code)
	}
	holder.Wait()
	if code := shellCode(holder); code != 5 || !contains(said.String(), "cannot give the slot back") {
		t.Errorf("the command's: %d, %s", code, said.String())
	}
	lock.Close()
	wantUsable(t, name)
}
