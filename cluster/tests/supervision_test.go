package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A daemon that the command leaves behind holds no slot, unless poolrun is to wait for it.
func TestWaitTreeKeepsTheSlotForDaemons(t *testing.T) {
	t.Parallel()
	url, file := newPool(t, 1), filepath.Join(t.TempDir(), "daemon")
	script := fmt.Sprintf("setsid sh -c 'echo $$ >%s.new; mv %[1]s.new %[1]s; exec sleep 1000' >/dev/null 2>&1 </dev/null & exit 5", file)
	daemon := func() (pid int) {
		eventually(t, "a daemon", func() bool {
			text, _ := os.ReadFile(file)
			fmt.Sscan(string(text), &pid)
			return pid != 0
		})
		must(t, os.Remove(file))
		return pid
	}
	wantResult(t, poolrun(t, "--pool", url, "sh", "-c", script), 5, "")
	wantEmpty(t, url)
	kill(t, daemon())

	cmd := mustStart(t, poolrun(t, "--wait-tree", "--pool", url, "sh", "-c", script))
	pid := daemon()
	wantBusy(t, url)
	if !isAlive(cmd.Process.Pid) {
		t.Error("poolrun has not waited for the daemon")
	}
	kill(t, pid)
	wantExit(t, 5, cmd)
	wantEmpty(t, url)
}

func TestMaxRuntimeEndsTheCommand(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	wantExit(t, 124, mustStart(t, poolrun(t, "--pool", url, "--max-runtime", "0.2", "sleep", "1000")))
	cmd := poolrun(t, "--pool", url, "--max-runtime", "0.2", "--kill-after", "0.2", "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
	wantExit(t, 124, mustStart(t, cmd))
	wantEmpty(t, url)
}
