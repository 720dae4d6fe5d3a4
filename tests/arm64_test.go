package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// The assembly for arm64 works: the entry point, the signal handler, and the start of the command.
// The program runs in qemu-user, which emulates one process, runs commands natively, and passes
// signals on as the host's kernel sends them.
//
// One thing cannot be tested in it. qemu-user replaces a clone(2) with CLONE_VFORK by a plain
// fork(2) (do_fork in linux-user/syscall.c), so the child does not share its parent's memory. If
// execve(2) fails in the child, the parent does not learn the error, and takes the child's exit
// status of 127 for the command's.
func TestArm64(t *testing.T) {
	onlyOnce(t)
	if runtime.GOARCH == "arm64" {
		t.Skip("all tests run on arm64")
	}
	emulator, err := exec.LookPath("qemu-aarch64")
	if err != nil {
		t.Skip(err)
	}
	program := filepath.Join(t.TempDir(), "poolrun-arm64")
	if err := goBuild("GOARCH=arm64", "-ldflags", "-E poolrun_entry", "-o", program, ".."); err != nil {
		t.Fatal(err)
	}
	t.Setenv("POOLRUN", emulator+" "+program)
	t.Setenv("PROGRAM", program)
	t.Setenv("POOL", freeName(t))
	for _, test := range []struct {
		script, out string
		code        int
	}{
		{"$POOLRUN version | grep -c entry", "0\n", 1},
		{"$POOLRUN init $POOL --size 1", "", 0},
		{"$POOLRUN -p $POOL -- true", "", 0},
		// The direct path takes no program for another machine. This one cannot start here, all the same.
		{"$POOLRUN -v -p $POOL -- $PROGRAM 2>&1 | grep -c 'without the Go runtime'", "1\n", 0},
		{"$POOLRUN -v -w 1e1 -p $POOL -- true 2>&1 | grep -c 'with the Go runtime'", "1\n", 0},
		{"$POOLRUN -F -p $POOL -- sh -c 'echo $POOLRUN_SLOT; exit 5'", "0\n", 5},
		{"$POOLRUN -F -w 1e1 -p $POOL -- sh -c 'exit 6'", "", 6},
		{"$POOLRUN -p $POOL -- sh -c 'exit 3'", "", 3},
		{"$POOLRUN -p $POOL -- sh -c 'kill -TERM $$'", "", 143},
		{"$POOLRUN -p $POOL -- no-such-command 2>&1", "poolrun: no-such-command: command not found\n", 127},
		{"$POOLRUN -p $POOL -- sh -c '$POOLRUN -p $POOL -n true; env -u POOLRUN_HELD $POOLRUN list >/dev/null'", "", 0},
		// the handler and the queue
		{`$POOLRUN -p $POOL -- sh -c 'trap "exit 7" USR1; kill -USR1 $PPID; while :; do sleep 0.1; done'`, "", 7},
		{`$POOLRUN -p $POOL -- sh -c 'trap "exit 7" 36; kill -36 $PPID; while :; do sleep 0.1; done'`, "", 7},
		// what the entry point notes
		{"trap '' USR1; $POOLRUN -p $POOL -- sh -c 'kill -USR1 $$; exit 4'", "", 4},
		{"GODEBUG=inittrace=1 $POOLRUN -p $POOL -- sh -c 'echo $GODEBUG' 2>&1", "inittrace=1\n", 0},
		{"exec 0<&-; $POOLRUN -p $POOL -- sh -c 'test -e /proc/$$/fd/0'", "", 1},
		{"ulimit -S -n 100; $POOLRUN -p $POOL -- sh -c 'ulimit -S -n'", "100\n", 0},
		{"$POOLRUN status $POOL | head -n 1", os.Getenv("POOL") + ": 0 of 1 slots in use, 1 available, 0 waiting\n", 0},
		{"$POOLRUN destroy $POOL", "", 0},
		{"$POOLRUN destroy $POOL 2>/dev/null", "", 2},
	} {
		cmd := command(t, "/bin/sh", "-c", test.script)
		out, _ := cmd.Output()
		if code := shellCode(cmd.ProcessState); code != test.code || string(out) != test.out {
			t.Errorf("%s: exit code %d, %q", test.script, code, out)
		}
	}
}
