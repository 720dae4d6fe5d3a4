package tests

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/poolrun/poolrun/pool"
)

// separately runs a command to success and returns what it wrote to its two outputs.
func separately(t testing.TB, cmd *exec.Cmd) (stdout, stderr string) {
	t.Helper()
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%q: %v\n%s", cmd.Args, err, said.String())
	}
	return string(out), said.String()
}

func TestAPoolThatCannotBeReadDoesNotHideTheOthers(t *testing.T) {
	sound, damaged := newPool(t, 2), newPool(t, 2)
	os.Truncate(ledgerOf(damaged), 1000)
	strange := freeName(t)
	if err := syscall.Mkfifo(ledgerOf(strange), 0o600); err != nil {
		t.Fatal(err)
	}
	control := freeName(t) + "\x1b[2J"
	writeFile(t, ledgerOf(control), nil)
	for _, args := range [][]string{{"status"}, {"status", "--format", "json"}, {"list"}} {
		out, said := separately(t, poolrun(t, args...))
		if !strings.Contains(out, sound) || strings.Contains(out, damaged) {
			t.Errorf("%q: %s", args, out)
		}
		for _, text := range []string{"poolrun: pool " + damaged + " is damaged", "poolrun: cannot use pool " + strange, "?[2J is damaged"} {
			if !strings.Contains(said, text) {
				t.Errorf("%q said %q", args, said)
			}
		}
		if strings.Contains(said, "\x1b") {
			t.Errorf("%q: a name reached the terminal: %q", args, said)
		}
	}
}

// A pool that is closed to the caller is not its business.
func TestPoolsOfOthersAreNotReported(t *testing.T) {
	name := newPool(t, 1)
	for _, args := range [][]string{{"status"}, {"list"}} {
		out, said := separately(t, asNobody(t, poolrun(t, args...)))
		if strings.Contains(out+said, name) {
			t.Errorf("%q: %s%s", args, out, said)
		}
	}
}

func TestStatusNoticesOtherPrograms(t *testing.T) {
	name := newPool(t, 3)
	release := holdSlot(t, name)
	mustRun(t, "resize", name, "1") // a debt is nobody's fault
	mustRun(t, "resize", name, "3")
	if out := mustRun(t, "status", name); strings.Contains(out, "note: ") {
		t.Error(out)
	}
	mustSem(t, "wait", name)
	mustSem(t, "wait", name)
	wantSaid(t, poolrun(t, "status", name), 0, "note: other programs have taken 2 slots; if they have exited without returning them, \"poolrun repair "+name+"\" puts them back")
	for range 3 {
		mustSem(t, "post", name)
	}
	wantSaid(t, poolrun(t, "status", name), 0, "note: the semaphore was posted 1 time too often")
	mustRun(t, "repair", name)
	release()

	file := "/dev/shm/" + name[1:]
	writeFile(t, file, make([]byte, 32))
	t.Cleanup(func() { os.Remove(file) })
	wantSaid(t, poolrun(t, "status", name), 0, "note: "+file+" looks like the semaphore "+name+" of a program with musl")
	if err := os.Truncate(file, 33); err != nil {
		t.Fatal(err)
	}
	if out := mustRun(t, "status", name); strings.Contains(out, "note: ") {
		t.Error(out)
	}
}

// A holder without a command has no command's pid: 0 would make kill(1) hit the
// caller's own process group.
func TestCommandPidIsNullWithoutACommand(t *testing.T) {
	name := newPool(t, 1)
	p, err := pool.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	lease, err := p.TryAcquire()
	if err != nil {
		t.Fatal(err)
	}
	wantSaid(t, poolrun(t, "status", name, "--format", "json"), 0, `"command_pid":null`)
	if err := lease.SetCommandPID(os.Getpid()); err != nil {
		t.Error(err)
	}
	wantSaid(t, poolrun(t, "status", name, "--format", "json"), 0, `"command_pid":`+itoa(os.Getpid())+",")
	if err := lease.Release(); err != nil {
		t.Error(err)
	}
}
