package tests

import (
	"os"
	"strings"
	"testing"
)

// What commands hand on to commands.

// chain runs commands in the pools, each inside the one before, and returns what the
// innermost prints.
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
	// That one is over, and so it goes, also if it is there many times.
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

// Many pools around a command: it inherits the innermost.
func TestWhatIsHandedOnIsBounded(t *testing.T) {
	prefix := freeName(t)
	pools := make([]string, 30)
	for i := range pools {
		pools[i] = prefix + "-" + itoa(i) + strings.Repeat("x", 180-len(prefix))
		mustRun(t, "init", pools[i], "--size", "1")
	}
	got := chain(t, nil, pools, printHeld)
	if len(got) > 4096 || !strings.HasPrefix(got[strings.LastIndex(got, prefix):], pools[29]+"/") || strings.Contains(got, pools[0]+"/") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

// A pool that was closed to the command in between, as by sudo(8), is still held.
func TestAHoldThatCannotBeCheckedIsHandedOn(t *testing.T) {
	outer, inner := newPool(t, 1), freeName(t)
	mustRun(t, "init", inner, "--size", "1", "--mode", "0666")
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	got := chain(t, nil, []string{outer}, `setpriv --reuid 39001 --regid 39001 --clear-groups poolrun --pool `+inner+` sh -c '`+printHeld+`'`)
	if !strings.HasPrefix(got, outer+"/") || !strings.Contains(got, inner+"/") {
		t.Errorf("%q", got)
	}
}

// What an outer pool says of its slot does not show beside the inner pool's.
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
	// Back in the outer pool's slot, it is the outer pool's again.
	if got := chain(t, nil, []string{outer, inner, outer}, script); got != "1\n0 port 8001\n" {
		t.Errorf("%q", got)
	}
}

// 50% is half of the machine, whatever the affinity of the first user.
func TestAPercentageCountsTheMachinesCPUs(t *testing.T) {
	out, err := command(t, "getconf", "_NPROCESSORS_ONLN").Output()
	if err != nil {
		t.Skip(err)
	}
	online := strings.TrimSpace(string(out))
	name := freeName(t)
	if err := command(t, "taskset", "-c", "0", binaries.poolrun, "init", name, "--size", "100%").Run(); err != nil {
		t.Skip("no taskset(1), or no CPU 0: ", err)
	}
	if got := itoa(statusOf(t, name).Size); got != online {
		t.Errorf("size %s, where %s CPUs are online", got, online)
	}
}
