package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// filesIn creates n files in a directory.
func filesIn(t testing.TB, dir string, n int) (paths []string) {
	t.Helper()
	for i := range n {
		paths = append(paths, filepath.Join(dir, fmt.Sprint("file with spaces ", i)))
		if err := os.WriteFile(paths[i], []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

// wantCompressed checks that gzip has compressed n files, so many at a time.
func wantCompressed(t testing.TB, dir, marks string, n, limit int) {
	t.Helper()
	if files, _ := filepath.Glob(dir + "/*.gz"); len(files) != n {
		t.Errorf("%d files compressed", len(files))
	}
	wantSeen(t, "gzip", marks, n, limit)
}

func TestTheXargsExampleCompressesEveryFile(t *testing.T) {
	onlyOnce(t)
	name, dir, marks := freeName(t), t.TempDir(), overlapDir(t.TempDir())
	filesIn(t, dir, 10)
	cmd := command(t, example(t, "xargs/compress.sh"), dir)
	cmd.Env = append(cmd.Env, "POOL="+name, "SIZE=3")
	wrap(t, cmd, "gzip", "exec overlapping "+marks+` 3 REAL "$@"`)
	wantResult(t, cmd, 0, "^$")
	wantCompressed(t, dir, marks, 10, 3)
	wantEmpty(t, name)
}

// The limit binds all finds together.
func TestTheFindExampleKeepsTheLimit(t *testing.T) {
	onlyOnce(t)
	name, dir, marks := freeName(t), t.TempDir(), overlapDir(t.TempDir())
	filesIn(t, dir, 4)
	var all []*exec.Cmd
	for range 4 {
		cmd := command(t, example(t, "xargs/checksums.sh"), dir)
		cmd.Env = append(cmd.Env, "POOL="+name, "SIZE=2")
		wrap(t, cmd, "sha256sum", "exec overlapping "+marks+` 2 REAL "$@"`)
		all = append(all, mustStart(t, cmd))
	}
	wantExit(t, 0, all...)
	wantSeen(t, "sha256sum", marks, 16, 2)
	wantEmpty(t, name)
}
