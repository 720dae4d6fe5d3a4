package tests

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// Of 20 compiles that ninja starts, two heavy ones run at once, and more of the others. One link runs
// at a time.
func TestTheCMakeExampleLimitsLinksAndHeavyCompiles(t *testing.T) {
	onlyOnce(t)
	needPrograms(t, "cmake", "ninja", "cc")
	name, dir := freeName(t), t.TempDir()
	heavy, light, links := overlapDir(filepath.Join(dir, "heavy")), overlapDir(filepath.Join(dir, "light")), overlapDir(filepath.Join(dir, "links"))
	build := filepath.Join(dir, "build")
	ninja := command(t, "ninja", "-C", build, "-j20")
	ninja.Env = append(ninja.Env, "OBSERVED=yes")
	wrap(t, ninja, "cc", fmt.Sprintf(`case "$OBSERVED $* " in
" "*) exec REAL "$@" ;;
*" -c "*/heavy*) exec overlapping %s 2 REAL "$@" ;;
*" -c "*) exec overlapping %s 12 REAL "$@" ;;
*) exec overlapping %s 1 REAL "$@" ;;
esac`, heavy, light, links))

	compiler := strings.TrimPrefix(strings.Split(ninja.Env[len(ninja.Env)-1], ":")[0], "PATH=") + "/cc"
	configure := command(t, "cmake", "-G", "Ninja", "-S", example(t, "cmake"), "-B", build, "-DPOOL="+name[1:], "-DCMAKE_C_COMPILER="+compiler)
	wantResult(t, configure, 0, "")
	wantResult(t, ninja, 0, "")
	wantSeen(t, "heavy compiles", heavy, 8, 2)
	wantSeen(t, "other compiles", light, 12, 12)
	wantSeen(t, "links", links, 4, 1)
	wantBuilt(t, build, 4)
	wantEmpty(t, name+"-heavy")
	wantEmpty(t, name+"-link")
}
