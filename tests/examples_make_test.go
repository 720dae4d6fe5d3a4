package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// With make -j8, eight compiles run at once, but only two links. A make that is started in place of a
// linker finds the jobserver.
func TestTheMakeExampleLimitsOnlyTheLinks(t *testing.T) {
	onlyOnce(t)
	needPrograms(t, "make", "gcc")
	name, dir := freeName(t), t.TempDir()
	compiles, links := overlapDir(filepath.Join(dir, "compiles")), overlapDir(filepath.Join(dir, "links"))
	project := filepath.Join(dir, "project")
	wantResult(t, command(t, example(t, "make/generate.sh"), project), 0, "^$")
	if files, _ := filepath.Glob(project + "/*/*.c"); len(files) < 40 {
		t.Errorf("%d files", len(files))
	}
	nested := filepath.Join(dir, "nested.mk")
	if err := os.WriteFile(nested, []byte("all: a b\na b:\n\t@:\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	cmd := command(t, "make", "-C", project, "-j8", "POOL="+name)
	wrap(t, cmd, "gcc", fmt.Sprintf(`case " $* " in
*" -c "*) exec overlapping %s 8 REAL "$@" ;;
*) make -f %s >/dev/null && exec overlapping %s 2 REAL "$@" ;;
esac`, compiles, nested, links))
	if _, stderr := outputs(t, cmd); stderr != "" {
		t.Error(stderr)
	}
	wantSeen(t, "compiles", compiles, 42, 8)
	wantSeen(t, "links", links, 6, 2)
	wantBuilt(t, filepath.Join(project, "build"), 6)
	wantEmpty(t, name)
}

// wantBuilt checks that the programs of a build run.
func wantBuilt(t testing.TB, dir string, n int) {
	t.Helper()
	for i := range n {
		out, err := exec.Command(filepath.Join(dir, fmt.Sprint("program", i+1))).Output()
		if err != nil || len(out) == 0 {
			t.Errorf("program %d: %v %q", i+1, err, out)
		}
	}
}
