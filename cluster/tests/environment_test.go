package tests

import (
	"strconv"
	"strings"
	"testing"
)

func TestTheCommandFindsItsSlotsAndItems(t *testing.T) {
	t.Parallel()
	p := freePool(t, shared(t))
	mustRun(t, "init", p.url(), "--item", "port 1", "--item", "port 2")
	const show = `echo "$POOLRUN_SLOT/$POOLRUN_SLOTS/$POOLRUN_ITEM"`
	out, _ := outputs(t, poolrun(t, "--pool", p.url(), "-k", "2", "sh", "-c", show))
	if out != "0/0,1/port 1\nport 2\n" {
		t.Errorf("%q", out)
	}
	release := holdSlot(t, p.url())
	if s := statusOf(t, p.url()); s.Size != 2 || s.Holders[0].Item != "port 1" {
		t.Errorf("%+v", s)
	}
	if out, _ = outputs(t, poolrun(t, "--pool", p.url(), "sh", "-c", show)); out != "1/1/port 2\n" {
		t.Errorf("%q", out)
	}
	release()
}

// Each grant has a larger fence than all before, in whatever pool of the cluster.
func TestTheFenceGrows(t *testing.T) {
	t.Parallel()
	one, two := newPool(t, 2), newPool(t, 1)
	last := int64(0)
	for _, url := range []string{one, one, two, one, two} {
		out, _ := outputs(t, poolrun(t, "--pool", url, "sh", "-c", "echo $POOLRUN_FENCE"))
		fence, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
		if err != nil || fence <= last {
			t.Errorf("fence %q after %d", out, last)
		}
		last = fence
	}
}

// Nothing else in the environment is changed. Variables for the Go runtime reach the command, and do not disturb
// the agent.
func TestTheEnvironmentReachesTheCommandUnchanged(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	list := []string{"sh", "-c", "env | grep -v -e ^_= -e ^PWD= -e ^SHLVL= -e ^OLDPWD= | sort"}
	variables := []string{"GODEBUG=nonsense=1", "GOMEMLIMIT=1", "GOGC=1", "GRPC_GO_LOG_SEVERITY_LEVEL=info", "EMPTY=", "ETCDCTL_USER=", markVariable + "=same"}
	before, _ := outputs(t, with(command(t, list[0], list[1:]...), variables...))
	after, stderr := outputs(t, with(poolrun(t, append([]string{"--pool", url, "--"}, list...)...), variables...))
	var own []string
	var others strings.Builder
	for line := range strings.Lines(after) {
		if strings.HasPrefix(line, "POOLRUN_") && !strings.HasPrefix(line, "POOLRUN_TEST_") {
			own = append(own, strings.Split(line, "=")[0])
		} else {
			others.WriteString(line)
		}
	}
	if others.String() != before || stderr != "" {
		t.Errorf("%q instead of %q; %q on stderr", others.String(), before, stderr)
	}
	if got := strings.Join(own, " "); got != "POOLRUN_FENCE POOLRUN_LEASES POOLRUN_SLOT POOLRUN_SLOTS" {
		t.Errorf("%s", got)
	}
}
