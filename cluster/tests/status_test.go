package tests

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
)

// The three formats of status describe holders on their machines, and the line in order.
func TestStatusDescribesHoldersAndTheLine(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	must(t, err)
	url := newPool(t, 2)
	cmd, child := startHolder(t, url, "-k", "2")
	waiter := mustStart(t, poolrun(t, "--pool", url, "--priority", "3", "true"))
	awaitLine(t, url, 1)
	s := waitStatus(t, url, "the pid of the command", func(s status) bool { return len(s.Holders) == 1 && s.Holders[0].CommandPID != nil })
	h, w := s.Holders[0], s.Waiters[0]
	if s.Name != url || s.Size != 2 || s.InUse != 2 || s.Available != 0 || s.Counters.Acquired != 1 ||
		h.Host != host || h.PID != cmd.Process.Pid || *h.CommandPID != child || h.State != "running" || len(h.Slots) != 2 || !strings.HasPrefix(h.Command, "sh -c ") ||
		w.Host != host || w.PID != waiter.Process.Pid || w.Position != 1 || w.Weight != 1 || w.Priority != 3 || w.Command != "true" {
		t.Errorf("%+v", s)
	}
	text, _ := outputs(t, poolrun(t, "status", url))
	for _, want := range []string{"(?m)^" + url + ": 2 of 2 slots in use, 0 available, 1 waiting$", host, `(?m)^1 .* true$`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no match of %q in\n%s", want, text)
		}
	}
	metrics, _ := outputs(t, poolrun(t, "status", url, "--format", "prometheus"))
	for _, want := range []string{`poolrun_slots{pool="` + url + `"} 2`, `poolrun_slots_in_use{pool="` + url + `"} 2`, `poolrun_waiting{pool="` + url + `"} 1`, `poolrun_acquired_total{pool="` + url + `"} 1`} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("no %q in\n%s", want, metrics)
		}
	}
	kill(t, child)
	wantExit(t, 128+9, cmd)
	wantExit(t, 0, waiter)
}

func TestWatchShowsChanges(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	watch := poolrun(t, "status", url, "--watch", "--format", "json")
	next := startLines(t, watch)
	inUse := func(want string) {
		for !strings.Contains(next(), `"in_use":`+want) {
		}
	}
	inUse("0")
	release := holdSlot(t, url)
	inUse("1")
	release()
	inUse("0")
	watch.Process.Signal(os.Interrupt)
	waitInTime(t, watch)
	if code := shellCode(watch.ProcessState); code != 0 && code != 130 {
		t.Errorf("exit code %d", code)
	}
}

// A watch says that etcd does not answer, and goes on when it does again.
func TestWatchOutlivesASilenceOfEtcd(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, etcdtest.Config{})
	url := newPoolIn(t, c, 1).url()
	watch := poolrun(t, "status", url, "--watch")
	next := startLines(t, watch)
	see := func(want string) {
		for !strings.Contains(next(), want) {
		}
	}
	see("0 of 1 slots in use")
	must(t, c.Members[0].Stop())
	see("note: cannot use pool " + url + ": etcd does not answer")
	must(t, c.Members[0].Continue())
	see("0 of 1 slots in use")
	watch.Process.Signal(os.Interrupt)
	waitInTime(t, watch)
	wantRefused(t, "no pool", poolrun(t, "status", url+"x", "--watch"))
}

// A URL without a name stands for all pools there.
func TestListAndStatusShowAllPools(t *testing.T) {
	t.Parallel()
	one, two := newPool(t, 3), newPool(t, 5)
	place := strings.TrimSuffix(one, nameOf(one)) + "/"
	list, _ := outputs(t, poolrun(t, "list", place))
	for _, want := range []string{`(?m)^POOL +SIZE +IN USE +WAITING`, `(?m)^` + one + ` +3 +0 +0 `, `(?m)^` + two + ` +5 +0 +0 `} {
		if !regexp.MustCompile(want).MatchString(list) {
			t.Errorf("no match of %q in\n%s", want, list)
		}
	}
	out, _ := outputs(t, poolrun(t, "status", place, "--format", "json"))
	var all []status
	must(t, json.Unmarshal([]byte(out), &all))
	sizes := map[string]int{}
	for _, s := range all {
		sizes[s.Name] = s.Size
	}
	if sizes[one] != 3 || sizes[two] != 5 {
		t.Errorf("%v", sizes)
	}
}

// A pool that cannot be read is reported, and does not hide the others.
func TestADamagedPoolDoesNotHideOthers(t *testing.T) {
	t.Parallel()
	c := shared(t)
	good, bad := newPoolIn(t, c, 1), newPoolIn(t, c, 1)
	bad.put(t, "a", "nonsense")
	place := strings.TrimSuffix(good.url(), good.name) + "/"
	for _, args := range [][]string{{"list", place}, {"status", place}, {"status", place, "--format", "prometheus"}} {
		stdout, stderr := outputs(t, poolrun(t, args...))
		if !strings.Contains(stdout, good.url()) || !strings.Contains(stderr, "poolrun: pool "+bad.url()+" is damaged: ") {
			t.Errorf("%q: %s%s", args, stdout, stderr)
		}
	}
}
