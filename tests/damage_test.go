package tests

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Every command refuses a pool with damaged files. destroy --force removes it.
func TestDamagedFilesAreRefused(t *testing.T) {
	for what, test := range map[string]struct {
		damage func(name string)
		says   string
	}{
		"ledger truncated":          {func(name string) { os.Truncate(ledgerOf(name), 1000) }, "damaged"},
		"ledger empty":              {func(name string) { os.Truncate(ledgerOf(name), 0) }, "damaged"},
		"ledger zeroed":             {func(name string) { overwrite(t, ledgerOf(name), zeroByte) }, "damaged"},
		"ledger of another version": {func(name string) { patch(t, ledgerOf(name), 8, 99) }, "another version of poolrun"},
		"ledger random":             {func(name string) { overwrite(t, ledgerOf(name), randomByte) }, "damaged"},
		"semaphore removed":         {func(name string) { os.Remove(semaphoreOf(name)) }, "semaphore.* removed"},
		"semaphore replaced":        {func(name string) { replace(t, semaphoreOf(name)) }, "semaphore.* replaced"},
		"semaphore truncated":       {func(name string) { os.Truncate(semaphoreOf(name), 3) }, "damaged"},
	} {
		t.Run(what, func(t *testing.T) {
			name := newPool(t, 2)
			test.damage(name)
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
		"symbolic link": {func(path string) error { return os.Symlink("/etc/passwd", path) }, "symbolic link"},
		"directory":     {func(path string) error { return os.Mkdir(path, 0o700) }, "directory"},
		"FIFO":          {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "regular file"},
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

// With random bytes behind the header, poolrun neither hangs nor crashes.
func TestRandomBytesInTheLedgerCrashNobody(t *testing.T) {
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
			at := int64(40 + random.IntN(376)) // the part of the header that changes
			switch random.IntN(3) {
			case 0:
				at = 4096 + random.Int64N(64) // holders
			case 1:
				at = info.Size() - 320*8192 + random.Int64N(1024) // participants
			}
			patch(t, ledgerOf(name), at, byte(random.IntN(256)))
		}
		for _, args := range [][]string{
			{"status", name}, {"--pool", name, "-n", "true"}, {"--pool", name, "-w", "10ms", "true"}, {"destroy", name},
		} {
			cmd := poolrun(t, args...)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			switch code := exitCode(t, cmd); code {
			case 0, 2, 75:
			default:
				t.Errorf("seed %d: poolrun %q: %d\n%s", seed, args, code, stderr.String())
			}
			if strings.Contains(stderr.String(), "goroutine") {
				t.Errorf("seed %d: poolrun %q:\n%s", seed, args, stderr.String())
			}
		}
		release()
		removePools(name)
	}
}

// poolrun passes the command's exit code on, whatever happens to the pool meanwhile.
func TestTheCommandsStatusSurvivesThePool(t *testing.T) {
	for what, damage := range map[string]func(t *testing.T, name string){
		"destroyed":           func(t *testing.T, name string) { mustRun(t, "destroy", "--force", name) },
		"removed":             func(t *testing.T, name string) { removePools(name) },
		"truncated":           func(t *testing.T, name string) { os.Truncate(ledgerOf(name), 0) },
		"zeroed":              func(t *testing.T, name string) { overwrite(t, ledgerOf(name), zeroByte) },
		"random":              func(t *testing.T, name string) { overwrite(t, ledgerOf(name), randomByte) },
		"semaphore truncated": func(t *testing.T, name string) { os.Truncate(semaphoreOf(name), 0) },
	} {
		t.Run(what, func(t *testing.T) {
			for end, want := range map[string]func(*exec.Cmd){
				"exit 42":    func(cmd *exec.Cmd) { wantExit(t, 42, cmd) },
				"kill -9 $$": func(cmd *exec.Cmd) { wantSignal(t, syscall.SIGKILL, cmd) },
			} {
				name := newPool(t, 1)
				cmd, stderr, tell, next := startListener(t, name, "read line; echo $line; "+end)
				damage(t, name)
				tell("to the end")
				wantLine(t, next, "to the end")
				want(cmd)
				warned := strings.HasPrefix(stderr.String(), "poolrun: warning: ")
				if warned != (what != "destroyed") || strings.Contains(stderr.String(), "goroutine") {
					t.Errorf("%q on stderr", stderr.String())
				}
			}
		})
	}
}

// On a full /dev/shm, init and run fail cleanly. The test has a mount namespace of its own.
func TestAFullDevShmIsAnErrorAtInit(t *testing.T) {
	out, err := command(t, "unshare", "--mount", "--map-root-user", "sh", "-c", `
		mount -t tmpfs -o size=64k tmpfs /dev/shm || exit 99
		poolrun init full --size 2; echo init $?
		poolrun --pool full --size 2 true; echo run $?
		ls /dev/shm | wc -l`).CombinedOutput()
	if err != nil {
		t.Skipf("cannot create a mount namespace: %v %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 5 || lines[1] != "init 2" || lines[3] != "run 2" || lines[4] != "0" ||
		!strings.Contains(lines[0], "no space left on device") {
		t.Errorf("%s", out)
	}
}

// replace puts a copy in the place of a file.
func replace(t testing.TB, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
