package tests

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
)

const nobody = 65534

// needRoot skips a test that another user cannot run: it uses other users, their groups,
// namespaces or sysctls.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can run this test")
	}
}

// asNobody lets another user run a command.
func asNobody(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	needRoot(t)
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	return cmd
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
					wantResult(t, cmd, 0, "")
				} else {
					wantResult(t, cmd, 2, "permission denied")
				}
			}
			wantResult(t, asNobody(t, poolrun(t, "destroy", "--force", name)), 2, name)
			wantEmpty(t, name)
		})
	}
}

func TestAGroupSharesAPool(t *testing.T) {
	name := freeName(t)
	needRoot(t)
	mustRun(t, "init", name, "--size", "1", "--mode", "0660", "--group", strconv.Itoa(nobody))
	wantResult(t, asNobody(t, poolrun(t, "--pool", name, "id", "-u")), 0, strconv.Itoa(nobody))
	wantEmpty(t, name)
}

// A user cannot impose a limit on others by creating a pool of that name first.
func TestAPoolOfAStrangerIsRefused(t *testing.T) {
	name := freeName(t)
	wantResult(t, asNobody(t, poolrun(t, "init", name, "--size", "1", "--mode", "0666")), 0, "")
	for _, args := range [][]string{{"--pool", name, "true"}, {"--pool", name, "--size", "1", "true"}, {"init", name, "--size", "1"}} {
		wantResult(t, poolrun(t, args...), 2, "belongs to")
	}
	wantResult(t, poolrun(t, "status", name), 0, "0 of 1 slots in use")
	mustRun(t, "destroy", "--force", name)
}

// asUser prepares a run of poolrun as another user and group, by setpriv(1) of util-linux and
// the commands in how.
func asUser(t testing.TB, uid, gid int, how []string, args ...string) *exec.Cmd {
	t.Helper()
	needRoot(t)
	how = append([]string{"--reuid", strconv.Itoa(uid), "--regid", strconv.Itoa(uid), "--groups", strconv.Itoa(gid)}, how...)
	return command(t, "setpriv", append(append(how, binaries.poolrun), args...)...)
}

// A pool belongs to the group that is named, also if that is group 0.
func TestAPoolBelongsToTheGroupThatIsNamed(t *testing.T) {
	for group, gid := range map[string]uint32{"root": 0, "0": 0, "39004": 39004} {
		name := freeName(t)
		wantResult(t, asUser(t, 0, 39003, []string{"setpriv", "--regid", "39003", "--keep-groups"}, "init", name, "--size", "1", "--mode", "0660", "--group", group), 0, "")
		eachFileOf(t, name, func(path string, st syscall.Stat_t) {
			if st.Gid != gid {
				t.Errorf("--group %s: %s has group %d", group, path, st.Gid)
			}
		})
	}
}

// --group takes a group that only the name service knows, by getent(1).
func TestGroupsOfTheNameServiceAreKnown(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	script := "#!/bin/sh\n[ \"$1 $2\" = 'group team' ] && echo team:x:39004:\n"
	if err := os.WriteFile(dir+"/getent", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	name := freeName(t)
	mustRun(t, "init", name, "--size", "1", "--mode", "0660", "--group", "team")
	eachFileOf(t, name, func(path string, st syscall.Stat_t) {
		if st.Gid != 39004 {
			t.Errorf("%s has group %d", path, st.Gid)
		}
	})
}

// A user that cannot remove a pool is refused before anything has changed. With --drain, that
// is at once, and not after the last holder.
func TestAMemberCannotDestroyAPool(t *testing.T) {
	const owner, member, group = 39001, 39002, 39003
	name := freeName(t)
	wantResult(t, asUser(t, owner, group, nil, "init", name, "--size", "1", "--mode", "0660", "--group", strconv.Itoa(group)), 0, "")
	holder := mustStart(t, asUser(t, owner, group, nil, "--pool", name, "sleep", "1000"))
	waitForCommand(t, name)
	for _, how := range [][]string{nil, {"unshare", "--user", "--map-root-user"}} {
		for _, flags := range [][]string{nil, {"--drain", "--timeout", "20s"}, {"--force"}} {
			// With the pool's group as the user's own, so that the namespace maps it.
			how := append([]string{"setpriv", "--reuid", strconv.Itoa(member), "--regid", strconv.Itoa(group), "--clear-groups"}, how...)
			wantResult(t, asUser(t, 0, 0, how, append([]string{"destroy", name}, flags...)...), 2, "only its owner, .*, and root can ")
		}
	}
	wantResult(t, asUser(t, member, group, nil, "--pool", name, "-n", "true"), 75, "")
	syscall.Kill(-holder.Process.Pid, syscall.SIGKILL)
	holder.Wait() // the command may die a moment later
	wantResult(t, asUser(t, member, group, nil, "--pool", name, "-w", "20s", "true"), 0, "")
}

// In a user namespace the overflow uid stands for the caller and for strangers alike.
func TestInAUserNamespaceNobodyIsTrusted(t *testing.T) {
	const me, stranger, group = 39001, 39002, 39003
	unmapped := []string{"unshare", "--user"}
	asRoot := []string{"unshare", "--user", "--map-root-user"}
	if err := asUser(t, me, me, unmapped, "version").Run(); err != nil {
		t.Skip("cannot create a user namespace: ", err)
	}
	theirs, shared, mine := freeName(t), freeName(t), freeName(t)
	wantResult(t, asUser(t, stranger, stranger, nil, "init", theirs, "--size", "1", "--mode", "0666"), 0, "")
	wantResult(t, asUser(t, stranger, group, nil, "init", shared, "--size", "1", "--mode", "0660", "--group", strconv.Itoa(group)), 0, "")
	wantResult(t, asUser(t, me, me, nil, "init", mine, "--size", "1"), 0, "")
	const unknown = "unknown in this user namespace"
	for _, how := range [][]string{unmapped, asRoot} {
		wantResult(t, asUser(t, me, group, how, "--pool", theirs, "-n", "true"), 2, unknown)
		wantResult(t, asUser(t, me, group, how, "--pool", shared, "-n", "true"), 2, unknown)
	}
	// A pool that looks like a stranger's is not trusted either.
	wantResult(t, asUser(t, me, me, unmapped, "--pool", mine, "-n", "true"), 2, unknown)
	wantResult(t, asUser(t, me, me, asRoot, "--pool", mine, "-n", "true"), 0, "")
	wantResult(t, asUser(t, me, group, nil, "--pool", shared, "-n", "true"), 0, "")
}
