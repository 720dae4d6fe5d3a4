package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Creating a pool on a file system that lacks something.

// withoutTmpfile lets a command find a file system without O_TMPFILE.
func withoutTmpfile(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	return under(t, "no-tmpfile", cmd)
}

// temporaries returns the temporary files of this user's creators, living or dead.
func temporaries(t testing.TB) (list []string) {
	t.Helper()
	paths, err := filepath.Glob("/dev/shm/.poolrun-new.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && int(info.Sys().(*syscall.Stat_t).Uid) == os.Geteuid() {
			list = append(list, path)
		}
	}
	return list
}

func TestAPoolCanBeMadeWithoutTmpfile(t *testing.T) {
	name := freeName(t)
	wantResult(t, withoutTmpfile(t, poolrun(t, "init", name, "--size", "2", "--mode", "0640")), 0, "")
	wantResult(t, withoutTmpfile(t, poolrun(t, "init", name, "--size", "2")), 2, "exists")
	eachFileOf(t, name, func(path string, st syscall.Stat_t) {
		if st.Mode&0o777 != 0o640 || st.Nlink != 1 || st.Blocks == 0 {
			t.Errorf("%s: mode %o, %d links, %d blocks", path, st.Mode, st.Nlink, st.Blocks)
		}
	})
	wantUsable(t, name)
	mustRun(t, "destroy", name)
	wantResult(t, withoutTmpfile(t, poolrun(t, "--pool", name, "--size", "2", "true")), 0, "")
	wantUsable(t, name)
	if left := temporaries(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// The next creator removes the files that a killed creator left behind, and no file of
// another user or kind.
func TestTheNextCreatorRemovesStaleTemporaries(t *testing.T) {
	others := map[string]func(path string) error{
		"/dev/shm/.poolrun-new.directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"/dev/shm/.poolrun-new.link":      func(path string) error { return os.Symlink("/etc/passwd", path) },
		"/dev/shm/.poolrun-new.fifo":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
	}
	for path, make := range others {
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(path) })
	}
	if os.Geteuid() == 0 {
		path := "/dev/shm/.poolrun-new.stranger"
		others[path] = nil
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(path) })
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	died := 0
	eachStep(t, []string{"nothing linked", "ledger linked", "semaphore linked", "pool alive"}, func(t *testing.T, n int, _ string) bool {
		name := freeName(t)
		cmd := withoutTmpfile(t, crashing(t, n, "init", name, "--size", "2"))
		cmd.Run()
		died += len(temporaries(t))
		withoutTmpfile(t, poolrun(t, "init", name, "--size", "2")).Run()
		wantUsable(t, name)
		if left := temporaries(t); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		return wasKilled(cmd)
	})
	if died == 0 {
		t.Error("no creator left a file")
	}
	for path := range others {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("removed: %v", err)
		}
	}
}

// A ramfs has neither fallocate(2) nor, in older kernels, O_TMPFILE.
func TestAPoolInARamfs(t *testing.T) {
	out, err := command(t, "unshare", "--mount", "--map-root-user", "sh", "-c", `
		mount -t ramfs ramfs /dev/shm || exit
		for how in env no-tmpfile; do
			$how poolrun init /x --size 2 && poolrun --pool /x -- echo runs &&
			$how poolrun barrier /x --parties 1 && poolrun destroy /x
		done
		ls -A /dev/shm`).CombinedOutput()
	if err != nil {
		t.Skipf("cannot mount a ramfs: %v %s", err, out)
	}
	if string(out) != "runs\nruns\n" {
		t.Errorf("%s", out)
	}
}
