package tests

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The pools of the tests: their names, files and status.

var poolNames atomic.Int64

// freeName returns the name of a pool that does not exist. After the test, every pool
// whose name begins with it is removed.
func freeName(t testing.TB) string {
	name := fmt.Sprintf("/t%d-%d", os.Getpid(), poolNames.Add(1))
	t.Cleanup(func() { removePools(name) })
	return name
}

func removePools(prefix string) {
	for _, kind := range []string{"sem.", "poolrun."} {
		files, _ := filepath.Glob("/dev/shm/" + kind + prefix[1:] + "*")
		for _, file := range files {
			for _, dir := range jobserversOf(file) {
				os.RemoveAll(dir)
			}
			os.RemoveAll(file)
		}
	}
}

// jobserversOf returns the directories of the jobservers of a pool with this ledger.
func jobserversOf(ledger string) (dirs []string) {
	f, err := os.OpenFile(ledger, os.O_RDONLY|syscall.O_NONBLOCK, 0) // some tests make it a FIFO
	if err != nil {
		return nil
	}
	defer f.Close()
	var id [8]byte
	if _, err := f.ReadAt(id[:], 16); err == nil {
		dirs, _ = filepath.Glob(fmt.Sprintf("/dev/shm/.poolrun-jobserver.%x.*", binary.NativeEndian.Uint64(id[:])))
	}
	return dirs
}

// newPool creates a pool and returns its name.
func newPool(t testing.TB, size int) string {
	t.Helper()
	name := freeName(t)
	mustRun(t, "init", name, "--size", fmt.Sprint(size))
	return name
}

func ledgerOf(name string) string    { return "/dev/shm/poolrun." + name[1:] }
func semaphoreOf(name string) string { return "/dev/shm/sem." + name[1:] }

// eachFileOf looks at both files of a pool.
func eachFileOf(t testing.TB, name string, look func(path string, st syscall.Stat_t)) {
	t.Helper()
	for _, path := range []string{semaphoreOf(name), ledgerOf(name)} {
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		look(path, st)
	}
}

// patch overwrites a part of a pool's file.
func patch(t testing.TB, path string, at int64, content ...byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(content, at); err != nil {
		t.Fatal(err)
	}
}

// overwrite overwrites a pool's whole file.
func overwrite(t testing.TB, path string, next func() byte) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, info.Size())
	for i := range content {
		content[i] = next()
	}
	patch(t, path, 0, content...)
}

func zeroByte() byte   { return 0 }
func randomByte() byte { return byte(rand.IntN(256)) }

// lockLedger holds a pool's ledger lock, as a process does that was stopped in a change.
func lockLedger(t testing.TB, name string) (unlock func()) {
	t.Helper()
	ledger, err := os.Open(ledgerOf(name))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(ledger.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ledger.Close() })
	return func() { ledger.Close() }
}

// status is the parts of a pool's JSON that the tests look at.
type status struct {
	Size      int
	InUse     int `json:"in_use"`
	Available int
	Waiting   int
	Draining  bool
	Holders   []struct {
		Slots      []int
		PID        int
		CommandPID int `json:"command_pid"`
		State      string
		Command    string
		Held       float64 `json:"held_seconds"`
	}
	Waiters []struct {
		Position int
		PID      int
		Command  string
		WaitsFor string `json:"waits_for"`
	}
	Counters struct {
		Acquired, Released, Busy, Cancelled, Reclaimed uint64
		TimedOut                                       uint64 `json:"timed_out"`
	}
}

// commands counts the holders whose command runs.
func (s status) commands() (n int) {
	for _, h := range s.Holders {
		if h.CommandPID != 0 {
			n++
		}
	}
	return n
}

func statusOf(t testing.TB, name string) (s status) {
	t.Helper()
	out, err := poolrun(t, "status", name, "--format", "json").Output()
	if err != nil {
		t.Fatalf("status %s: %v %s", name, err, out)
	}
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// eventually waits until something is seen. The limit only keeps a failing test from
// hanging.
func eventually(t testing.TB, what string, seen func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !seen(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never seen: %s", what)
		}
	}
}

func waitStatus(t testing.TB, name, what string, seen func(status) bool) (s status) {
	t.Helper()
	eventually(t, what, func() bool {
		s = statusOf(t, name)
		return seen(s)
	})
	return s
}

// waitForLine waits until n processes are in line.
func waitForLine(t testing.TB, name string, n int) status {
	t.Helper()
	return waitStatus(t, name, fmt.Sprint(n, " in line"), func(s status) bool { return s.Waiting == n })
}

// waitForCommand waits until the only holder of a pool runs its command. The command's pid
// is known a moment before the process has become the command.
func waitForCommand(t testing.TB, name string) status {
	t.Helper()
	s := waitStatus(t, name, "a command", func(s status) bool { return s.InUse == 1 && s.commands() == 1 })
	eventually(t, "execve of the command", func() bool {
		program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", s.Holders[0].CommandPID))
		return err != nil || program != binaries.poolrun
	})
	return s
}

// wantEmpty checks that all slots of a pool are free and accounted for.
func wantEmpty(t testing.TB, name string) {
	t.Helper()
	s := statusOf(t, name)
	n := s.Counters
	if s.InUse != 0 || s.Available != s.Size || s.Waiting != 0 || len(s.Holders) != 0 || n.Acquired != n.Released+n.Reclaimed {
		t.Errorf("pool %s is not empty: %+v", name, s)
	}
}

// wantUsable checks that a pool is empty, and serves the next command.
func wantUsable(t testing.TB, name string) {
	t.Helper()
	wantEmpty(t, name)
	wantResult(t, poolrun(t, "--pool", name, "-n", "true"), 0, "")
	wantEmpty(t, name)
}

// wantBusy checks that a pool has no slot for another command.
func wantBusy(t testing.TB, name string) {
	t.Helper()
	wantResult(t, poolrun(t, "--pool", name, "-n", "true"), 75, "")
}

// wantNothingLeft checks that no file in /dev/shm has a name like this pool's.
func wantNothingLeft(t testing.TB, name string) {
	t.Helper()
	if left, _ := filepath.Glob("/dev/shm/*" + name[1:] + "*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
