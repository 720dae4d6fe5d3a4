package tests

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/poolrun/poolrun/pool"
)

func TestAPoolThatCannotBeReadDoesNotHideTheOthers(t *testing.T) {
	sound, damaged := newPool(t, 2), newPool(t, 2)
	os.Truncate(ledgerOf(damaged), 1000)
	strange := freeName(t)
	if err := syscall.Mkfifo(ledgerOf(strange), 0o600); err != nil {
		t.Fatal(err)
	}
	control := freeName(t) + "\x1b[2J"
	if err := os.WriteFile(ledgerOf(control), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"status", "--format", "json"}, {"list"}} {
		out, stderr := outputs(t, poolrun(t, args...))
		if strings.Count(out, sound) != 1 || strings.Contains(out, damaged) {
			t.Errorf("%q: %s", args, out)
		}
		for _, text := range []string{damaged, strange, "?[2J "} {
			if !strings.Contains(stderr, text) {
				t.Errorf("%q does not report %q: %q", args, text, stderr)
			}
		}
		if strings.Contains(stderr, "\x1b") {
			t.Errorf("%q prints a control character: %q", args, stderr)
		}
	}
}

// status and list do not report the pools that the caller may not read.
func TestPoolsOfOthersAreNotReported(t *testing.T) {
	name := newPool(t, 1)
	for _, args := range [][]string{{"status"}, {"list"}} {
		out, stderr := outputs(t, asNobody(t, poolrun(t, args...)))
		if strings.Contains(out+stderr, name) {
			t.Errorf("%q: %s%s", args, out, stderr)
		}
	}
}

func TestStatusNoticesOtherPrograms(t *testing.T) {
	name := newPool(t, 3)
	release := holdSlot(t, name)
	mustRun(t, "resize", name, "1") // no other program causes this debt
	mustRun(t, "resize", name, "3")
	if out := mustRun(t, "status", name); strings.Contains(out, "note: ") {
		t.Error(out)
	}
	mustSem(t, "wait", name)
	mustSem(t, "wait", name)
	wantResult(t, poolrun(t, "status", name), 0, "(?s)note: .*2 slots.*poolrun repair "+name)
	for range 3 {
		mustSem(t, "post", name)
	}
	wantResult(t, poolrun(t, "status", name), 0, "(?s)note: .*posted 1 ")
	mustRun(t, "repair", name)
	release()

	file := "/dev/shm/" + name[1:]
	if err := os.WriteFile(file, make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(file) })
	wantResult(t, poolrun(t, "status", name), 0, "(?s)note: .*"+file+".*musl")
	if err := os.Truncate(file, 33); err != nil {
		t.Fatal(err)
	}
	if out := mustRun(t, "status", name); strings.Contains(out, "note: ") {
		t.Error(out)
	}
}

// Until the command runs, its pid is null: a 0 would make kill(1) hit the caller's own
// process group.
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
	wantResult(t, poolrun(t, "status", name, "--format", "json"), 0, `"command_pid":null`)
	if err := lease.SetCommandPID(os.Getpid()); err != nil {
		t.Error(err)
	}
	wantResult(t, poolrun(t, "status", name, "--format", "json"), 0, `"command_pid":`+strconv.Itoa(os.Getpid())+",")
	if err := lease.Release(); err != nil {
		t.Error(err)
	}
}
