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

// asUser makes a run one of a user and groups that nobody else has, with util-linux's
// setpriv(1) and whatever is to run it in turn.
func asUser(t testing.TB, uid, gid int, how []string, args ...string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	how = append([]string{"--reuid", itoa(uid), "--regid", itoa(uid), "--groups", itoa(gid)}, how...)
	return command(t, "setpriv", append(append(how, binaries.poolrun), args...)...)
}

// In a user namespace the overflow uid stands for the caller and for strangers alike.
func TestInAUserNamespaceNobodyIsTrusted(t *testing.T) {
	const me, stranger, group = 39001, 39002, 39003
	unmapped := []string{"unshare", "--user"}
	asRoot := []string{"unshare", "--user", "--map-root-user"}
	if err := asUser(t, me, me, unmapped, "version").Run(); err != nil {
		t.Skip("no user namespace to be had: ", err)
	}
	theirs, shared, mine := freeName(t), freeName(t), freeName(t)
	wantSaid(t, asUser(t, stranger, stranger, nil, "init", theirs, "--size", "1", "--mode", "0666"), 0, "")
	wantSaid(t, asUser(t, stranger, group, nil, "init", shared, "--size", "1", "--mode", "0660", "--group", itoa(group)), 0, "")
	wantSaid(t, asUser(t, me, me, nil, "init", mine, "--size", "1"), 0, "")
	const unknown = "belongs to a user unknown in this user namespace"
	for _, how := range [][]string{unmapped, asRoot} {
		wantSaid(t, asUser(t, me, group, how, "--pool", theirs, "-n", "true"), 2, unknown)
		wantSaid(t, asUser(t, me, group, how, "--pool", shared, "-n", "true"), 2, unknown)
	}
	// What cannot be told from a stranger's is not trusted either.
	wantSaid(t, asUser(t, me, me, unmapped, "--pool", mine, "-n", "true"), 2, unknown)
	wantSaid(t, asUser(t, me, me, asRoot, "--pool", mine, "-n", "true"), 0, "")
	wantSaid(t, asUser(t, me, group, nil, "--pool", shared, "-n", "true"), 0, "")
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
