package tests

import (
	"fmt"
	"syscall"
	"testing"
)

func TestPoolrunExitsAsTheCommandDid(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	for _, code := range []int{0, 1, 2, 75, 124, 254, 255} {
		wantResult(t, poolrun(t, "--pool", url, "sh", "-c", fmt.Sprint("exit ", code)), code, "^$")
	}
	for _, n := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGKILL, syscall.SIGSEGV} {
		wantSignal(t, n, mustStart(t, poolrun(t, "--pool", url, "sh", "-c", fmt.Sprintf("ulimit -c 0; kill -%d $$", n))))
	}
	wantEmpty(t, url)
}

func TestSignalsReachTheCommand(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	cmd := poolrun(t, "--pool", url, "--", "sh", "-c", `trap 'echo usr1' USR1; trap 'echo term; exit 7' TERM; echo ready; while :; do sleep 0.01; done`)
	next := startLines(t, cmd)
	wantLine(t, next, "ready")
	cmd.Process.Signal(syscall.SIGUSR1)
	wantLine(t, next, "usr1")
	cmd.Process.Signal(syscall.SIGTERM)
	wantLine(t, next, "term")
	wantExit(t, 7, cmd)
	wantEmpty(t, url)
}

// A newcomer that gets no slot in time exits with the code for that, and leaves nothing in line.
func TestNoSlotInTime(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	release := holdSlot(t, url)
	for _, test := range []struct {
		code  int
		text  string
		flags []string
	}{
		{75, "no free slot in pool " + url, []string{"-n"}},
		{75, "no free slot in pool " + url, []string{"-w", "0"}},
		{75, "no free slot in pool " + url + " within 300ms", []string{"-w", "0.3"}},
		{9, "no free slot", []string{"-n", "-E", "9"}},
		{0, "no free slot", []string{"-w", "0.1", "-E", "0"}},
		{75, "^$", []string{"-n", "-q"}},
	} {
		wantResult(t, poolrun(t, append(test.flags, "--pool", url, "true")...), test.code, test.text)
	}
	wantResult(t, with(poolrun(t, "true"), "POOLRUN_POOL="+url, "POOLRUN_TIMEOUT=0", "POOLRUN_BUSY_EXIT_CODE=11"), 11, "no free slot")
	if s := statusOf(t, url); s.Waiting != 0 {
		t.Errorf("%d in line", s.Waiting)
	}
	release()
	wantEmpty(t, url)
}

// A command that cannot be run is reported before the wait for a slot.
func TestACommandThatCannotBeRunTakesNoSlot(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	release := holdSlot(t, url)
	wantResult(t, poolrun(t, "--pool", url, "nothing-of-that-name"), 127, "command not found")
	wantResult(t, poolrun(t, "--pool", url, "/etc/passwd"), 126, "permission denied")
	release()
	if n := statusOf(t, url).Counters.Acquired; n != 1 {
		t.Errorf("%d acquired", n)
	}
}

func TestAPoolThatDoesNotExistIsNotUsed(t *testing.T) {
	t.Parallel()
	url := freePool(t, shared(t)).url()
	for _, args := range [][]string{
		{"--pool", url, "true"}, {"--pool", url, "-n", "true"}, {"status", url}, {"resize", url, "2"}, {"wait", url},
		{"destroy", url}, {"destroy", url, "--force"}, {"destroy", url, "--drain"}, {"evict", url, "--slot", "0"},
	} {
		wantRefused(t, "no pool "+url, poolrun(t, args...))
	}
}

func TestBadNamesAreRefused(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"etcd://", "etcd:///", "etcd:///a/b", "etcd:////a", "etcd:///.", "etcd:///..", "etcd://host", "zk:///a", "etcd://a b/c"} {
		wantRefused(t, "invalid", poolrun(t, "--pool", url, "true"))
	}
	wantRefused(t, "no user and no password", poolrun(t, "--pool", "etcd://user:secret@host/a", "true"))
}
