package tests

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A call in a slot of the pool needs no other, however deep it is, also behind a run in another pool.
func TestANestedCallRunsInTheSlotOfItsAncestor(t *testing.T) {
	t.Parallel()
	outer, other := newPool(t, 1), newPool(t, 1)
	inner := fmt.Sprintf("poolrun --pool %s -n sh -c 'echo $POOLRUN_SLOT $POOLRUN_SLOTS $POOLRUN_FENCE'", outer)
	for _, script := range []string{
		inner,
		strings.Replace(inner, "-n", "-n -k 1", 1),
		strings.Replace(inner, "-n", "-n --no-fork", 1),
		fmt.Sprintf("poolrun --pool %s sh -c \"poolrun --pool %s -n true && %s\"", other, outer, strings.ReplaceAll(inner, "$", `\$`)),
	} {
		out, _ := outputs(t, poolrun(t, "--pool", outer, "sh", "-c", "echo $POOLRUN_SLOT $POOLRUN_SLOTS $POOLRUN_FENCE; "+script))
		lines := strings.Split(out, "\n")
		if len(lines) != 3 || lines[0] != lines[1] {
			t.Errorf("%s: %q", script, out)
		}
	}
	wantResult(t, poolrun(t, "--pool", outer, "poolrun", "-v", "--pool", outer, "-n", "sh", "-c", "exit 5"), 5, "runs in a slot of .* already")
	wantEmpty(t, outer)
	wantEmpty(t, other)
}

// A slot that was given back is no ancestor's slot any more.
func TestALeaseThatHasEndedIsNotBelieved(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	held, _ := outputs(t, poolrun(t, "--pool", url, "sh", "-c", "printf %s $POOLRUN_LEASES"))
	release := holdSlot(t, url)
	for _, text := range []string{held, "", "nonsense", "///", "1/2/" + nameOf(url)[1:], strings.Repeat(held+" ", 100)} {
		wantResult(t, with(poolrun(t, "--pool", url, "-n", "true"), "POOLRUN_LEASES="+text), 75, "no free slot")
	}
	release()
	wantEmpty(t, url)
}

// Nesting does not make the environment grow.
func TestNestingDoesNotMakeTheEnvironmentGrow(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	const leases = `echo $POOLRUN_LEASES | wc -w`
	deep := fmt.Sprintf("poolrun --pool %s sh -c 'poolrun --pool %[1]s poolrun --pool %[1]s sh -c \"%s\"'", url, strings.ReplaceAll(leases, "$", `\$`))
	out, _ := outputs(t, poolrun(t, "--pool", url, "sh", "-c", leases+"; "+deep))
	if strings.Join(strings.Fields(out), " ") != "1 1" {
		t.Errorf("%q", out)
	}
}

// A program on the way, such as sudo, clears the environment. Then the environments of the processes between
// still show whose slot it is.
func TestANestedCallIsKnownWithoutItsEnvironment(t *testing.T) {
	t.Parallel()
	url := newPool(t, 2)
	release := holdSlot(t, url) // not an ancestor
	inner := "env -i PATH=$PATH poolrun --pool " + url + " -n sh -c 'echo slot $POOLRUN_SLOT'"
	for _, flags := range [][]string{nil, {"--close"}, {"--no-fork"}} {
		for _, script := range []string{inner + "; true", "exec " + inner, "setsid --wait " + inner, "env -i PATH=$PATH sh -c '" + strings.ReplaceAll(inner, "'", `'\''`) + "; true'"} {
			wantResult(t, poolrun(t, append(append(flags, "--pool", url), "--", "sh", "-c", script)...), 0, "^slot 1\n$")
		}
	}
	waitUntilOne(t, url)
	release()
	if n := statusOf(t, url).Counters.Acquired; n != 13 {
		t.Errorf("%d acquired", n)
	}
	wantEmpty(t, url)
}

// waitUntilOne waits until only one slot is held. After a run with --no-fork that is a moment later.
func waitUntilOne(t testing.TB, url string) {
	t.Helper()
	waitStatus(t, url, "one slot that is held", func(s status) bool { return s.InUse == 1 })
}

// A holder that is not its ancestor does not let a call run.
func TestACallThatIsNotNestedWaits(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	release := holdSlot(t, url)
	cmd := poolrun(t, "--pool", url, "-n", "true")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	wantResult(t, cmd, 75, "no free slot")
	release()
	wantEmpty(t, url)
}

// In two containers, processes have the same pids, and often the machines the same name.
func TestAHolderInAnotherContainerIsNoAncestor(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can make a pid namespace")
	}
	url := newPool(t, 1, "--lease", "5s")
	container := func(script string) *exec.Cmd {
		return command(t, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script+"; exit $?")
	}
	holder := mustStart(t, container("poolrun --pool "+url+" sleep 1000"))
	s := waitStatus(t, url, "the pid of its command", func(s status) bool { return len(s.Holders) == 1 && s.Holders[0].CommandPID != nil })
	// The pipe could be the guard of a slot, so poolrun looks into the holders' records. The pid of the subshell is that
	// of the other poolrun.
	wantResult(t, container("(sh -c 'echo pid $PPID'; poolrun --pool "+url+" -n true 5>&1; echo exit $?) 2>&1 | cat"), 0,
		fmt.Sprintf("^pid %d\npoolrun: no free slot in pool .*\nexit 75\n$", s.Holders[0].PID))
	kill(t, holder.Process.Pid)
	waitUntilEmpty(t, url)
}
