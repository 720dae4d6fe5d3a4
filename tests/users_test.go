package tests

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

const nobody = 65534

// asNobody makes a run one of another user.
func asNobody(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	return cmd
}

func wantSaid(t testing.TB, cmd *exec.Cmd, code int, text string) {
	t.Helper()
	out, _ := cmd.CombinedOutput()
	if got := shellCode(cmd); got != code || !strings.Contains(string(out), text) {
		t.Errorf("%q: exit code %d\n%s", cmd.Args, got, out)
	}
}

func TestTheModeSaysWhoMayUseAPool(t *testing.T) {
	for mode, may := range map[string]struct{ run, see bool }{
		"0600": {false, false},
		"0644": {false, true},
		"0666": {true, true},
	} {
		t.Run(mode, func(t *testing.T) {
			name := freeName(t)
			mustRun(t, "init", name, "--size", "1", "--mode", mode)
			for what, args := range map[string][]string{"run": {"--pool", name, "true"}, "see": {"status", name}} {
				cmd := asNobody(t, poolrun(t, args...))
				if may := map[string]bool{"run": may.run, "see": may.see}[what]; may {
					wantSaid(t, cmd, 0, "")
				} else {
					wantSaid(t, cmd, 2, "permission denied, it belongs to ")
				}
			}
			wantSaid(t, asNobody(t, poolrun(t, "destroy", "--force", name)), 2, "cannot use pool")
			wantEmpty(t, name)
		})
	}
}

func TestAGroupSharesAPool(t *testing.T) {
	name := freeName(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can give a pool to any group")
	}
	mustRun(t, "init", name, "--size", "1", "--mode", "0660", "--group", itoa(nobody))
	wantSaid(t, asNobody(t, poolrun(t, "--pool", name, "id", "-u")), 0, itoa(nobody))
	wantEmpty(t, name)
}

// Whoever is first to take a name does not thereby get hold of others' limits.
func TestAPoolOfAStrangerIsRefused(t *testing.T) {
	name := freeName(t)
	wantSaid(t, asNobody(t, poolrun(t, "init", name, "--size", "1", "--mode", "0666")), 0, "")
	for _, args := range [][]string{{"--pool", name, "true"}, {"--pool", name, "--size", "1", "true"}, {"init", name, "--size", "1"}} {
		wantSaid(t, poolrun(t, args...), 2, "who is neither you nor root")
	}
	wantSaid(t, poolrun(t, "status", name), 0, "0 of 1 slots in use")
	mustRun(t, "destroy", "--force", name)
}

// What the command inherits does not let it write to the ledger.
func TestTheGuardIsReadOnly(t *testing.T) {
	name := newPool(t, 1)
	out := mustRun(t, "--pool", name, "sh", "-c",
		`for fd in /proc/self/fd/*; do case $(readlink $fd) in */poolrun.*) sed -n 's/^flags:.*\(.\)$/\1/p' /proc/self/fdinfo/${fd##*/};; esac; done`)
	if out != "0\n" { // O_RDONLY
		t.Errorf("%q", out)
	}
}
