package tests

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func ledgerOf(name string) string    { return "/dev/shm/poolrun." + name[1:] }
func semaphoreOf(name string) string { return "/dev/shm/sem." + name[1:] }

// wantRefused checks that a run fails as poolrun fails: exit code 2, one line that
// holds the text (and perhaps a hint), no hanging, no trace of Go.
func wantRefused(t testing.TB, text string, args ...string) {
	t.Helper()
	cmd := poolrun(t, args...)
	var said strings.Builder
	cmd.Stderr = &said
	mustStart(t, cmd)
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatalf("poolrun %q hangs", args)
	}
	lines := strings.Split(strings.TrimSuffix(said.String(), "\n"), "\n")
	ok := shellCode(cmd) == 2 && strings.HasPrefix(lines[0], "poolrun: ") && strings.Contains(lines[0], text) &&
		(len(lines) == 1 || len(lines) == 2 && strings.HasPrefix(lines[1], "hint: "))
	if !ok {
		t.Errorf("poolrun %q: %v\n%s", args, cmd.ProcessState, said.String())
	}
}

func writeFile(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A pool whose files are not what they should be is refused by every command, and
// can be removed by force.
func TestDamagedFilesAreRefused(t *testing.T) {
	for what, test := range map[string]struct {
		damage func(name string) error
		says   string
	}{
		"ledger truncated": {func(name string) error { return os.Truncate(ledgerOf(name), 1000) }, "is damaged"},
		"ledger empty":     {func(name string) error { return os.Truncate(ledgerOf(name), 0) }, "is damaged"},
		"ledger zeroed":    {func(name string) error { return zero(ledgerOf(name)) }, "is damaged"},
		"ledger of another version": {func(name string) error {
			return patch(ledgerOf(name), 8, []byte{99})
		}, "another version of poolrun"},
		"ledger random":       {func(name string) error { return randomize(ledgerOf(name), 0) }, "is damaged"},
		"semaphore removed":   {func(name string) error { return os.Remove(semaphoreOf(name)) }, "semaphore was removed"},
		"semaphore replaced":  {func(name string) error { return replace(semaphoreOf(name)) }, "semaphore was replaced"},
		"semaphore truncated": {func(name string) error { return os.Truncate(semaphoreOf(name), 3) }, "is damaged"},
	} {
		t.Run(what, func(t *testing.T) {
			name := newPool(t, 2)
			if err := test.damage(name); err != nil {
				t.Fatal(err)
			}
			wantRefused(t, test.says, "--pool", name, "true")
			wantRefused(t, test.says, "--pool", name, "--size", "2", "true")
			wantRefused(t, test.says, "status", name)
			wantRefused(t, test.says, "destroy", name)
			wantRefused(t, "", "init", name, "--size", "2")
			mustRun(t, "destroy", name, "--force")
			mustRun(t, "init", name, "--size", "2")
			wantUsable(t, name)
		})
	}
}

func TestOtherThanRegularFilesAreRefused(t *testing.T) {
	for what, test := range map[string]struct {
		make func(path string) error
		says string
	}{
		"symbolic link": {func(path string) error { return os.Symlink("/etc/passwd", path) }, "is a symbolic link"},
		"directory":     {func(path string) error { return os.Mkdir(path, 0o700) }, "is a directory"},
		"FIFO":          {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "is not a regular file"},
	} {
		for _, file := range []func(string) string{ledgerOf, semaphoreOf} {
			name := newPool(t, 2)
			os.Remove(file(name))
			if err := test.make(file(name)); err != nil {
				t.Fatal(err)
			}
			t.Run(what+" "+filepath.Base(file("/NAME")), func(t *testing.T) {
				wantRefused(t, test.says, "--pool", name, "true")
				wantRefused(t, test.says, "status", name)
				wantRefused(t, "", "init", name, "--size", "2")
			})
		}
	}
}

// Random bytes anywhere behind the header: whatever poolrun makes of them, it
// neither hangs nor crashes, and the command never runs in a slot that is not.
func TestRandomBytesInTheLedger(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for range 60 {
		name := newPool(t, 2)
		release := holdSlot(t, name)
		info, err := os.Stat(ledgerOf(name))
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + random.IntN(20) {
			at := int64(40 + random.IntN(216)) // the header's changing part
			switch random.IntN(3) {
			case 0:
				at = 4096 + random.Int64N(64) // holders
			case 1:
				at = info.Size() - 256*8192 + random.Int64N(1024) // participants
			}
			if err := patch(ledgerOf(name), at, []byte{byte(random.IntN(256))}); err != nil {
				t.Fatal(err)
			}
		}
		for _, args := range [][]string{
			{"status", name}, {"--pool", name, "-n", "true"}, {"--pool", name, "-w", "10ms", "true"}, {"destroy", name},
		} {
			cmd := poolrun(t, args...)
			var said strings.Builder
			cmd.Stderr = &said
			switch code := exitCode(t, cmd); code {
			case 0, 2, 75:
			default:
				t.Errorf("seed %d: poolrun %q: %d\n%s", seed, args, code, said.String())
			}
			if strings.Contains(said.String(), "goroutine") {
				t.Errorf("seed %d: poolrun %q:\n%s", seed, args, said.String())
			}
		}
		release()
		removePools(name)
	}
}

// The command's status counts, whatever becomes of the pool under it.
func TestTheCommandsStatusSurvivesThePool(t *testing.T) {
	for what, damage := range map[string]func(t *testing.T, name string){
		"destroyed": func(t *testing.T, name string) { mustRun(t, "destroy", "--force", name) },
		"removed":   func(t *testing.T, name string) { removePools(name) },
		"truncated": func(t *testing.T, name string) { os.Truncate(ledgerOf(name), 0) },
		"zeroed":    func(t *testing.T, name string) { zero(ledgerOf(name)) },
		"random":    func(t *testing.T, name string) { randomize(ledgerOf(name), 0) },
		"semaphore truncated": func(t *testing.T, name string) {
			os.Truncate(semaphoreOf(name), 0)
		},
	} {
		t.Run(what, func(t *testing.T) {
			name := newPool(t, 1)
			cmd, said, tell, next := startListener(t, name, "read line; echo $line; exit 42")
			damage(t, name)
			tell("to the end")
			if line := next(); line != "to the end" {
				t.Error(line)
			}
			cmd.Wait()
			if code := shellCode(cmd); code != 42 {
				t.Errorf("exit code %d", code)
			}
			warned := strings.HasPrefix(said.String(), "poolrun: warning: ")
			if warned != (what != "destroyed") || strings.Contains(said.String(), "goroutine") {
				t.Errorf("said %q", said.String())
			}
		})
	}
}

func patch(path string, at int64, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(content, at)
	return err
}

func zero(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return patch(path, 0, make([]byte, info.Size()))
}

func randomize(path string, from int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	content := make([]byte, info.Size()-from)
	for i := range content {
		content[i] = byte(rand.IntN(256))
	}
	return patch(path, from, content)
}

func replace(path string) error {
	content, err := os.ReadFile(path)
	if err == nil {
		err = os.Remove(path)
	}
	if err == nil {
		err = os.WriteFile(path, content, 0o600)
	}
	return err
}

// A full /dev/shm, seen in a mount namespace of the test's own.
func TestAFullDevShmIsAnErrorAtInit(t *testing.T) {
	out, err := command(t, "unshare", "--mount", "--map-root-user", "sh", "-c", `
		mount -t tmpfs -o size=64k tmpfs /dev/shm || exit 99
		poolrun init full --size 2; echo init $?
		poolrun --pool full --size 2 true; echo run $?
		ls /dev/shm | wc -l`).CombinedOutput()
	if err != nil {
		t.Skipf("no mount namespace to be had: %v %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 5 || lines[1] != "init 2" || lines[3] != "run 2" || lines[4] != "0" ||
		!strings.Contains(lines[0], "no space left on device") {
		t.Errorf("%s", out)
	}
}
