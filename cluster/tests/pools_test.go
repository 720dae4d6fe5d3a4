package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
	"github.com/poolrun/poolrun/cluster/internal/keys"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The pools of the tests: their names, keys and status.

var (
	poolNames atomic.Int64
	clusters  sync.Map // the *etcdtest.Cluster of each name
)

// A testPool is the name of a pool, /NAME, and the cluster in which it is or will be.
type testPool struct {
	name    string
	cluster *etcdtest.Cluster
}

// url is the pool as it is reached through an address, or through those of all members.
func (p testPool) url(addresses ...string) string {
	if len(addresses) == 0 {
		for _, m := range p.cluster.Members {
			addresses = append(addresses, m.Address())
		}
	}
	scheme := "etcd://"
	if p.cluster.Authority != nil {
		scheme = "etcds://"
	}
	return scheme + strings.Join(addresses, ",") + p.name
}

// freePool returns a pool that does not exist. After the test, all its keys are removed.
func freePool(t testing.TB, c *etcdtest.Cluster) testPool {
	p := testPool{fmt.Sprintf("/t%d", poolNames.Add(1)), c}
	clusters.Store(p.name, c)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), hangs)
		defer cancel()
		c.Client().Delete(ctx, keys.Of(p.name).All(), clientv3.WithPrefix()) // a cluster that is closed has no keys
		c.Client().Delete(ctx, keys.Entry(p.name))
	})
	return p
}

// newPool makes a pool in the shared etcd, and returns its URL.
func newPool(t testing.TB, size int, flags ...string) (url string) {
	t.Helper()
	return newPoolIn(t, shared(t), size, flags...).url()
}

// newPoolIn makes a pool in a cluster that needs no credentials.
func newPoolIn(t testing.TB, c *etcdtest.Cluster, size int, flags ...string) testPool {
	t.Helper()
	p := freePool(t, c)
	mustRun(t, append([]string{"init", p.url(), "--size", strconv.Itoa(size)}, flags...)...)
	return p
}

// nameOf is the name of the pool of a URL, /NAME.
func nameOf(url string) string { return url[strings.LastIndexByte(url, '/'):] }

// keysIn lists the keys with a prefix.
func keysIn(c *etcdtest.Cluster, prefix string) (list []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	answer, err := c.Client().Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, err
	}
	for _, kv := range answer.Kvs {
		list = append(list, string(kv.Key))
	}
	return list, nil
}

// status is the parts of a pool's JSON that the tests look at.
type status struct {
	Name      string
	Size      int
	InUse     int `json:"in_use"`
	Available int
	Waiting   int
	Draining  bool
	Holders   []struct {
		Slots      []int
		Item       string
		Host       string
		PID        int
		CommandPID *int `json:"command_pid"`
		State      string
		Command    string
	}
	Waiters []struct {
		Position int
		Host     string
		PID      int
		Weight   int
		Priority int
		Command  string
		WaitsFor string `json:"waits_for"`
	}
	Counters struct{ Acquired uint64 }
}

func statusOf(t testing.TB, url string) (s status) {
	t.Helper()
	out, _ := outputs(t, poolrun(t, "status", url, "--format", "json"))
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return s
}

// waitStatus waits until a status is seen. Between two looks it is slow, so as not to keep the machine busy
// with that.
func waitStatus(t testing.TB, url, what string, seen func(status) bool) (s status) {
	t.Helper()
	for end := time.Now().Add(hangs); ; time.Sleep(50 * time.Millisecond) {
		if s = statusOf(t, url); seen(s) {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("never seen: %s, but %+v", what, s)
		}
	}
}

// waitForLine waits until n processes are in line, and takes a status.
func waitForLine(t testing.TB, url string, n int) status {
	t.Helper()
	awaitLine(t, url, n)
	return statusOf(t, url)
}

// awaitLine waits until n processes are in line. It asks etcd, which costs less than a status.
func awaitLine(t testing.TB, url string, n int) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " in line"), func() bool { return lengthOfLine(t, url) == n })
}

func lengthOfLine(t testing.TB, url string) int {
	t.Helper()
	name := url[strings.LastIndexByte(url, '/'):]
	c, _ := clusters.Load(name)
	line, err := keysIn(c.(*etcdtest.Cluster), keys.Of(name).Line())
	must(t, err)
	return len(line)
}

// waitUntilEmpty waits until nobody holds a slot or waits for one.
func waitUntilEmpty(t testing.TB, url string) {
	t.Helper()
	waitStatus(t, url, "an empty pool", func(s status) bool { return s.InUse == 0 && s.Waiting == 0 })
}

// wantEmpty checks that nobody holds a slot or waits for one. A run that has ended has left nothing.
func wantEmpty(t testing.TB, url string) {
	t.Helper()
	if s := statusOf(t, url); s.InUse != 0 || s.Waiting != 0 || s.Available != s.Size || len(s.Holders) != 0 {
		t.Errorf("pool %s is not empty: %+v", url, s)
	}
}

// wantBusy checks that a pool has no slot for another command.
func wantBusy(t testing.TB, url string) {
	t.Helper()
	wantResult(t, poolrun(t, "--pool", url, "-n", "true"), 75, "")
}

// startHolder starts a run whose command lives until it is killed. It returns when the command runs, with its
// pid.
func startHolder(t testing.TB, url string, flags ...string) (cmd *exec.Cmd, child int) {
	t.Helper()
	return startScript(t, url, "ready; exec sleep 1000", flags...)
}

// startScript starts a run of a shell's script, and returns when that has called ready, with the pid of the
// shell.
func startScript(t testing.TB, url, script string, flags ...string) (cmd *exec.Cmd, child int) {
	t.Helper()
	cmd, wait := prepareScript(t, url, script, flags...)
	mustStart(t, cmd)
	return cmd, wait()
}

// prepareScript prepares a run of a shell's script. The function waits until that has called ready, and
// returns the pid of the shell.
func prepareScript(t testing.TB, url, script string, flags ...string) (cmd *exec.Cmd, wait func() (child int)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pid")
	ready := fmt.Sprintf("ready() { echo $$ >%s.new; mv %[1]s.new %[1]s; }; ", file)
	cmd = poolrun(t, append(append([]string{"--pool", url}, flags...), "--", "sh", "-c", ready+script)...)
	return cmd, func() (child int) {
		t.Helper()
		eventually(t, "a running command", func() bool {
			text, err := os.ReadFile(file)
			child, _ = strconv.Atoi(strings.TrimSpace(string(text)))
			return err == nil && child != 0
		})
		return child
	}
}

// holdSlot starts a holder, and returns a function that ends it.
func holdSlot(t testing.TB, url string, flags ...string) (release func()) {
	t.Helper()
	cmd, child := startHolder(t, url, flags...)
	return func() {
		t.Helper()
		kill(t, child)
		wantExit(t, 128+9, cmd)
	}
}

// lineUp starts n runs, each when the last stands in line. The command of the Ith appends I to a file.
func lineUp(t testing.TB, url, file string, n int, flags func(i int) []string) (line []*exec.Cmd) {
	t.Helper()
	waiting := lengthOfLine(t, url)
	for i := range n {
		args := append(flags(i), "--pool", url, "--", "sh", "-c", fmt.Sprintf("echo %d >>%s", i, file))
		line = append(line, mustStart(t, poolrun(t, args...)))
		awaitLine(t, url, waiting+i+1)
	}
	return line
}

func noFlags(int) []string { return nil }

// wantOrder checks the order in which the commands of lineUp have run.
func wantOrder(t testing.TB, file string, order ...int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	var want strings.Builder
	for _, i := range order {
		fmt.Fprintln(&want, i)
	}
	if string(text) != want.String() {
		t.Errorf("order %q instead of %q", text, want.String())
	}
}

// must fails the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
