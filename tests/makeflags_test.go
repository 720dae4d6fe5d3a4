package tests

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// GNU make before 4.4 is given descriptors without being asked for, and poolrun says so. Other
// commands, and a newer make, are given a FIFO. What else the caller has in MAKEFLAGS stays.
func TestTheStyleIsThatOfTheProgram(t *testing.T) {
	onlyOnce(t)
	name, dir := newPool(t, 2), t.TempDir()
	for version, want := range map[string]string{"4.3": "pipe", "4.2.1": "pipe", "4.4": "fifo", "4.4.1": "fifo", "5.0": "fifo", "10.0": "fifo"} {
		make := filepath.Join(dir, "make")
		writeScript(t, make, `case "$MAKEFLAGS" in *jobserver*) echo "$MAKEFLAGS" ;; *) echo "GNU Make `+version+`" ;; esac`)
		wantMakeflags(t, want, "k -s", poolrun(t, "-p", name, "-jv", "--", make), want == "pipe")
		wantMakeflags(t, "fifo", "k -s", poolrun(t, "-p", name, "--jobserver=fifo", "--", make), false)
		wantMakeflags(t, "pipe", "k -s", poolrun(t, "-p", name, "--jobserver=pipe", "--", make), false)
	}
	wantMakeflags(t, "fifo", "k -s", poolrun(t, "-p", name, "--jobserver", "--", "sh", "-c", `echo "$MAKEFLAGS"`), false)
	wantResult(t, poolrun(t, "-p", name, "--jobserver=other", "true"), 2, `^poolrun: --jobserver: invalid jobserver "other": want fifo or pipe\n`)
	for files := 16; files < 60; files++ { // with few descriptors it works, or takes no slot
		fresh := newPool(t, 2)
		cmd := command(t, "bash", "-c", fmt.Sprintf("ulimit -n %d; exec poolrun -p %s --jobserver=pipe -- true", files, fresh))
		if code, n := exitCode(t, cmd), statusOf(t, fresh).Counters.Acquired; code != 0 && (code != 2 || n != 0 || files > 28) {
			t.Errorf("ulimit -n %d: exit code %d, %d acquired", files, code, n)
		}
		mustRun(t, "destroy", fresh)
	}
	wantResult(t, poolrun(t, "-p", name, "-jF", "true"), 2, `--jobserver needs a process that stays beside the command`)
}

func wantMakeflags(t testing.TB, style, kept string, cmd *exec.Cmd, isSaid bool) {
	t.Helper()
	cmd.Env = append(cmd.Env, `MAKEFLAGS=`+kept+` -j8 --jobserver-auth=3,4 -- NAME=a\ b`)
	stdout, stderr := outputs(t, cmd)
	auth := `fifo:/dev/shm/\.poolrun-jobserver\.[0-9a-f.]+/tokens`
	if style == "pipe" {
		auth = `5\d,5\d`
	}
	if want := `^` + kept + ` -j --jobserver-auth=` + auth + ` -- NAME=a\\ b\n$`; !regexp.MustCompile(want).MatchString(stdout) {
		t.Errorf("%s: %q does not match %s", style, stdout, want)
	}
	if strings.Contains(stderr, "is chosen, because") != isSaid {
		t.Errorf("%s: %s", style, stderr)
	}
}
