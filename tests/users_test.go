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
	wantSaid(t, poolrun(t, "status", name), 0, "0 of 1 slot in use")
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

// Group 0 is a group like any other.
func TestAPoolBelongsToTheGroupThatIsNamed(t *testing.T) {
	for group, gid := range map[string]uint32{"root": 0, "0": 0, "39004": 39004} {
		name := freeName(t)
		wantSaid(t, asUser(t, 0, 39003, []string{"setpriv", "--regid", "39003", "--keep-groups"}, "init", name, "--size", "1", "--mode", "0660", "--group", group), 0, "")
		for _, path := range []string{semaphoreOf(name), ledgerOf(name)} {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Sys().(*syscall.Stat_t).Gid; got != gid {
				t.Errorf("--group %s: %s has group %d", group, path, got)
			}
		}
	}
}

// A group that only the name service knows, as getent(1) tells it.
func TestGroupsOfTheNameServiceAreKnown(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a pool to any group")
	}
	dir := t.TempDir()
	script := "#!/bin/sh\n[ \"$1 $2\" = 'group team' ] && echo team:x:39004:\n"
	if err := os.WriteFile(dir+"/getent", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	name := freeName(t)
	mustRun(t, "init", name, "--size", "1", "--mode", "0660", "--group", "team")
	info, err := os.Stat(ledgerOf(name))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Sys().(*syscall.Stat_t).Gid; got != 39004 {
		t.Errorf("group %d", got)
	}
}

// Who cannot remove a pool is refused before anything has changed: with a drain, that
// is at once and not after the last holder.
func TestAMemberCannotDestroyAPool(t *testing.T) {
	const owner, member, group = 39001, 39002, 39003
	name := freeName(t)
	wantSaid(t, asUser(t, owner, group, nil, "init", name, "--size", "1", "--mode", "0660", "--group", itoa(group)), 0, "")
	holder := mustStart(t, asUser(t, owner, group, nil, "--pool", name, "sleep", "1000"))
	waitCommand(t, name)
	for _, how := range [][]string{nil, {"unshare", "--user", "--map-root-user"}} {
		for _, flags := range [][]string{nil, {"--drain", "--timeout", "20s"}, {"--force"}} {
			// With the pool's group as its own, so that the namespace maps it.
			how := append([]string{"setpriv", "--reuid", itoa(member), "--regid", itoa(group), "--clear-groups"}, how...)
			wantSaid(t, asUser(t, 0, 0, how, append([]string{"destroy", name}, flags...)...), 2, "only its owner can remove it")
		}
	}
	if code := exitCode(t, asUser(t, member, group, nil, "--pool", name, "-n", "true")); code != 75 {
		t.Errorf("a newcomer: exit code %d", code)
	}
	syscall.Kill(-holder.Process.Pid, syscall.SIGKILL)
	holder.Wait() // the command may still be dying
	wantSaid(t, asUser(t, member, group, nil, "--pool", name, "-w", "20s", "true"), 0, "")
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
