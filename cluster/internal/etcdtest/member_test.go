package etcdtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestDataSurviveAKill(t *testing.T) {
	c := New(t, Config{})
	put(t, c, "k", "v")
	m := c.Members[0]
	before := m.PID()
	must(t, m.Kill(), m.Kill())
	if m.PID() != 0 || !isDead(before) {
		t.Errorf("after Kill, PID is %d, and process %d is dead: %v", m.PID(), before, isDead(before))
	}
	must(t, m.Restart(), m.WaitHealthy())
	if v := get(t, c, "k"); v != "v" {
		t.Errorf("after a restart, k is %q", v)
	}
}

func TestAnotherMemberLeadsAfterTheLeaderIsKilled(t *testing.T) {
	c := New(t, Config{Members: 3})
	first, err := c.Leader()
	must(t, err)
	put(t, c, "k", "v")
	must(t, first.Kill())
	second, err := c.Leader()
	must(t, err)
	if second == first {
		t.Fatal("a killed member leads")
	}
	if v := get(t, c, "k"); v != "v" {
		t.Errorf("with two members of three, k is %q", v)
	}
	must(t, first.Restart(), c.WaitHealthy())
}

func TestAllThreadsAreStoppedAfterStop(t *testing.T) {
	c := New(t, Config{})
	m := c.Members[0]
	for range 2 {
		must(t, m.Stop(), m.Stop())
		for _, state := range threadStates(t, m.PID()) {
			if state != "T" {
				t.Errorf("a thread has state %s", state)
			}
		}
		must(t, m.Continue(), m.WaitHealthy())
	}
	must(t, m.Stop(), m.Kill())
	if m.Stop() == nil || m.Continue() == nil {
		t.Error("a server that does not run can be stopped or continued")
	}
}

func TestNothingIsLeftAfterClose(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	c, err := Start(Config{})
	must(t, err)
	pid := c.Members[0].PID()
	must(t, c.Members[0].Stop(), c.Close())
	wantNothingLeft(t)
	if !isDead(pid) {
		t.Error("the server lives")
	}
}

func TestAServerThatCannotStartTellsWhy(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	_, err := Start(Config{ExtraArgs: []string{"--no-such-flag"}})
	if err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("error %v, which does not contain the log", err)
	}
	wantNothingLeft(t)
}

func TestServersDieWithTheProcess(t *testing.T) {
	path, err := program()
	must(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helper+"=1", "TMPDIR="+t.TempDir(), Variable+"="+path)
	out, err := cmd.StdoutPipe()
	must(t, err, start(home(), cmd))
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var pids []int
	for lines := bufio.NewScanner(out); len(pids) < 3 && lines.Scan(); {
		pid, err := strconv.Atoi(lines.Text())
		must(t, err)
		pids = append(pids, pid)
	}
	if len(pids) != 3 {
		t.Fatal("the helper has not started three servers")
	}
	must(t, syscall.Kill(pids[0], syscall.SIGSTOP), cmd.Process.Kill())
	for _, pid := range pids {
		waitFor(t, "the death of a server", func() bool { return isDead(pid) })
	}
}

func TestServersOutliveTheThreadThatCallsStart(t *testing.T) {
	type result struct {
		c      *Cluster
		thread int
		err    error
	}
	started := make(chan result)
	go func() {
		runtime.LockOSThread() // so that the thread ends with the goroutine
		c, err := Start(Config{})
		started <- result{c, syscall.Gettid(), err}
	}()
	r := <-started
	must(t, r.err)
	defer r.c.Close()
	pid := r.c.Members[0].PID()
	waitFor(t, "the end of the thread", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", r.thread))
		return os.IsNotExist(err)
	})
	must(t, r.c.WaitHealthy())
	if r.c.Members[0].PID() != pid {
		t.Error("the server has ended")
	}
}

func wantNothingLeft(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the directory for temporary files: %v, %v", left, err)
	}
}

// isDead reports whether a process has ended. It may be a zombie that nobody waits for.
func isDead(pid int) bool {
	state, err := threadState(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || state == "Z" || state == "X"
}

func threadStates(t *testing.T, pid int) (states []string) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	must(t, err)
	for _, file := range files {
		state, err := threadState(file)
		must(t, err)
		states = append(states, state)
	}
	if len(states) == 0 {
		t.Fatalf("process %d has no threads", pid)
	}
	return states
}

// threadState reads the third field of /proc/PID/stat (proc_pid_stat(5)).
func threadState(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	_, fields, _ := strings.Cut(string(text), ") ")
	return fields[:1], nil
}
