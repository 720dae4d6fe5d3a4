package tests

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// A program on the way, such as sudo, clears the environment, and perhaps closes descriptors.
// Then the inherited guard or the ancestors show whose slot it is.
func TestANestedCallIsKnownWithoutItsEnvironment(t *testing.T) {
	inner := func(pool string) string {
		return "env -i PATH=$PATH " + binaries.poolrun + " -v --pool " + pool + " --timeout 10s -- sh -c 'echo slot $POOLRUN_SLOT'"
	}
	for what, command := range map[string][]string{
		"the guard":                {"sh", "-c", "true; " + inner("POOL")},
		"the ancestors":            {"--close", "sh", "-c", "true; " + inner("POOL")},
		"a command that closes it": {"sh", "-c", "closing " + inner("POOL")},
		"the process itself":       {"--close", "sh", "-c", "exec " + inner("POOL")},
	} {
		t.Run(what, func(t *testing.T) {
			name := newPool(t, 2)
			other := holdSlot(t, name) // not an ancestor
			args := []string{"--pool", name}
			for _, arg := range command {
				args = append(args, strings.ReplaceAll(arg, "POOL ", name+" "))
			}
			out := mustRun(t, args...)
			if !strings.Contains(out, "slot 1") || !strings.Contains(out, "in a slot of "+name) {
				t.Errorf("%q", out)
			}
			if n := statusOf(t, name).Counters.Acquired; n != 2 {
				t.Errorf("%d acquired", n)
			}
			other()
			wantEmpty(t, name)
		})
	}
}

// With a low limit of open files, the guard has a low number. Here only the guard shows the lease,
// because the nested call has lost its ancestors.
func TestAGuardOfALowNumberIsKnown(t *testing.T) {
	name := newPool(t, 1)
	cmd := command(t, "sh", "-c", `ulimit -n 40
		exec poolrun --pool $POOL sh -c 'setsid -f env -i "PATH=$PATH" sh -c "poolrun -n --pool $POOL true; echo \$? >out"
			until [ -s out ]; do sleep 0.01; done; exit $(cat out)'`)
	cmd.Dir = t.TempDir()
	cmd.Env = append(cmd.Env, "POOL="+name)
	wantExit(t, 0, mustStart(t, cmd))
	wantEmpty(t, name)
}

// A holder that is not its ancestor does not let a call run.
func TestACallThatIsNotNestedWaits(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	cmd := poolrun(t, "--pool", name, "-n", "true")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	wantResult(t, cmd, 75, "")
	release()
	wantEmpty(t, name)
}

// poolrun ignores a slot in POOLRUN_HELD that was given back.
func TestAStaleHoldIsNotBelieved(t *testing.T) {
	name := newPool(t, 1)
	held := mustRun(t, "--pool", name, "sh", "-c", "printf %s \"$POOLRUN_HELD\"")
	release := holdSlot(t, name)
	cmd := poolrun(t, "--pool", name, "-n", "true")
	cmd.Env = append(cmd.Env, "POOLRUN_HELD="+held)
	wantResult(t, cmd, 75, "")
	release()
	wantEmpty(t, name)
}

// chain runs a script in the last of the pools, inside a run in the pool before, and so on. It
// returns what the script prints.
func chain(t testing.TB, env []string, pools []string, script string) string {
	t.Helper()
	var args []string
	for i, name := range pools {
		if i > 0 {
			args = append(args, binaries.poolrun)
		}
		args = append(args, "--pool", name, "--")
	}
	cmd := poolrun(t, append(args, "sh", "-c", script)...)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	return string(out)
}

const printHeld = `printf %s "$POOLRUN_HELD"`

func TestOnlyWhatIsStillHeldIsHandedOn(t *testing.T) {
	first, second := newPool(t, 1), newPool(t, 1)
	one := chain(t, nil, []string{first}, printHeld)
	if strings.Count(one, "/") != 4 {
		t.Fatalf("%q", one)
	}
	// That run is over, so its entry is removed, even if the variable holds it many times.
	stale := "POOLRUN_HELD=" + strings.Repeat(one, 131000/len(one))
	for _, pools := range [][]string{{first}, {second}, {first, second}, {first, second, first, second, first}} {
		got := chain(t, []string{stale}, pools, printHeld)
		for _, name := range pools {
			if strings.Count(got, name+"/") != 1 {
				t.Errorf("in %q: %q", pools, got)
			}
		}
		if strings.Contains(got, one) || strings.Count(got, "/") != 4*min(len(pools), 2) {
			t.Errorf("in %q: %q", pools, got)
		}
	}
}

// A command inside very many pools inherits the innermost.
func TestWhatIsHandedOnIsBounded(t *testing.T) {
	prefix := freeName(t)
	pools := make([]string, 30)
	for i := range pools {
		pools[i] = prefix + "-" + strconv.Itoa(i) + strings.Repeat("x", 180-len(prefix))
		mustRun(t, "init", pools[i], "--size", "1")
	}
	got := chain(t, nil, pools, printHeld)
	if len(got) > 4096 || !strings.HasPrefix(got[strings.LastIndex(got, prefix):], pools[29]+"/") || strings.Contains(got, pools[0]+"/") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

// An ancestor holds a slot of a pool that the nested call may not open, as after sudo(8). The
// slot is handed on all the same.
func TestAHoldThatCannotBeCheckedIsHandedOn(t *testing.T) {
	outer, inner := newPool(t, 1), freeName(t)
	mustRun(t, "init", inner, "--size", "1", "--mode", "0666")
	needRoot(t)
	got := chain(t, nil, []string{outer}, `setpriv --reuid 39001 --regid 39001 --clear-groups poolrun --pool `+inner+` sh -c '`+printHeld+`'`)
	if !strings.HasPrefix(got, outer+"/") || !strings.Contains(got, inner+"/") {
		t.Errorf("%q", got)
	}
}

// The command finds the item of the inner pool's slot, and not that of the outer pool's.
func TestTheInnerPoolDescribesTheSlot(t *testing.T) {
	outer, inner := freeName(t), newPool(t, 1)
	mustRun(t, "init", outer, "--item", "port 8001")
	const script = `env | grep -c '^POOLRUN_SLOT='; echo "$POOLRUN_SLOT ${POOLRUN_ITEM-none}"`
	if got := chain(t, nil, []string{outer}, script); got != "1\n0 port 8001\n" {
		t.Errorf("%q", got)
	}
	if got := chain(t, nil, []string{outer, inner}, script); got != "1\n0 none\n" {
		t.Errorf("%q", got)
	}
	if got := chain(t, nil, []string{inner, outer}, script); got != "1\n0 port 8001\n" {
		t.Errorf("%q", got)
	}
	// A nested call in the outer pool finds the outer pool's item again.
	if got := chain(t, nil, []string{outer, inner, outer}, script); got != "1\n0 port 8001\n" {
		t.Errorf("%q", got)
	}
}
