package tests

import (
	"os"
	"strings"
	"testing"
	"time"
)

// Arguments, names and items are bytes, whether they are UTF-8 or not, and whichever parser reads them.
func TestEverythingIsPassedThroughByteForByte(t *testing.T) {
	const odd = "a\xffb\xc3\x28 \x01é"
	name := freeName(t) + odd
	mustRun(t, "init", name, "--item", odd)
	for _, flags := range [][]string{nil, {"--wait-tree"}, {"--kill-after", "5"}, {"--memfree", "1K"}} {
		cmd := poolrun(t, append(append([]string{"-p", name}, flags...), "printf", "%s", odd)...)
		if out, _ := outputs(t, cmd); out != odd {
			t.Errorf("%q: %q", flags, out)
		}
		cmd = poolrun(t, append(append([]string{}, flags...), "sh", "-c", "printf %s \"$POOLRUN_ITEM\"")...)
		cmd.Env = append(cmd.Env, "POOLRUN_POOL="+name)
		if out, _ := outputs(t, cmd); out != odd {
			t.Errorf("%q: item %q", flags, out)
		}
	}
	log := t.TempDir() + "/" + odd[:3]
	mustRun(t, "-p", name, "--log", log, "true")
	if _, err := os.Stat(log); err != nil {
		t.Error(err)
	}
	wantRefused(t, "exists already", "init", name, "--size", "1")
	mustRun(t, "destroy", name)
	wantNothingLeft(t, name)
}

// A command may have as many arguments as the kernel permits, whichever parser reads the flags.
func TestManyArgumentsTakeNoTime(t *testing.T) {
	name := newPool(t, 1)
	many := strings.Fields(strings.Repeat("x ", 60_000))
	took := map[string]time.Duration{}
	for _, flag := range []string{"--quiet", "--wait-tree"} {
		began := time.Now()
		wantExit(t, 0, mustStart(t, poolrun(t, append([]string{"-p", name, flag, "true"}, many...)...)))
		took[flag] = time.Since(began)
	}
	if took["--wait-tree"] > 10*took["--quiet"]+time.Second {
		t.Errorf("%v", took)
	}
}
