package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
)

// The holders and waiters of the tests about lost leases, and those who see whether holders overlap.

// A holder is a run that holds a slot, with what it prints on stderr. Its command notes each SIGTERM.
type holder struct {
	*exec.Cmd
	child  int
	noted  string // the file in which it does so
	stderr *output
}

// An output is what a process prints, and can be read meanwhile.
type output struct {
	mutex sync.Mutex
	text  strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.text.String()
}

// startNoting starts a holder whose command ignores SIGTERM, and exits with code 7 when it gets SIGHUP.
func startNoting(t testing.TB, url string, flags ...string) holder {
	t.Helper()
	h := holder{noted: filepath.Join(t.TempDir(), "noted"), stderr: new(output)}
	script := fmt.Sprintf("trap 'echo term >>%s' TERM; trap 'exit 7' HUP; ready; while :; do sleep 0.05; done", h.noted)
	cmd, wait := prepareScript(t, url, script, append([]string{"--kill-after", "1s"}, flags...)...)
	cmd.Stderr = h.stderr
	h.Cmd = mustStart(t, cmd)
	h.child = wait()
	return h
}

// wantLost checks that the command got SIGTERM once and then SIGKILL, and that poolrun says why.
func (h holder) wantLost(t testing.TB) {
	t.Helper()
	wantExit(t, 2, h.Cmd)
	h.wantEnded(t)
	if want := regexp.MustCompile(`(?m)^poolrun: lost the slot of pool etcd://`); !want.MatchString(h.stderr.String()) {
		t.Errorf("no match of %v in %q", want, h.stderr)
	}
}

// wantEnded checks that the command got SIGTERM once and then SIGKILL.
func (h holder) wantEnded(t testing.TB) {
	t.Helper()
	waitForEnd(t, h.child)
	wantText(t, h.noted, "term\n")
}

// wantKept checks that the command got no signal, and ends poolrun in its own way; and that poolrun has
// printed these warnings, and nothing but warnings.
func (h holder) wantKept(t testing.TB, warnings ...string) {
	t.Helper()
	h.waitFor(t, warnings...)
	signalAll(t, syscall.SIGHUP, h.child)
	wantExit(t, 7, h.Cmd)
	if _, err := os.Stat(h.noted); err == nil {
		t.Error("the command got SIGTERM")
	}
	for line := range strings.Lines(h.stderr.String()) {
		if len(warnings) == 0 || !strings.HasPrefix(line, "poolrun: warning: ") {
			t.Errorf("the line %q", line)
		}
	}
}

// waitFor waits until poolrun has printed lines.
func (h holder) waitFor(t testing.TB, lines ...string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("stderr of the holder: %q", h.stderr)
		}
	}()
	for _, line := range lines {
		eventually(t, fmt.Sprintf("%q on stderr", line), func() bool { return regexp.MustCompile(line).MatchString(h.stderr.String()) })
	}
}

// The warning that a slot was lost and the command is kept.
const mayGo = `(?m)^poolrun: warning: the slot of pool etcd://\S+ may go to another while the command runs: `

// startWaiter starts a run that has to wait, and returns when it knows that it stands in line, with what it
// prints on stderr.
func startWaiter(t testing.TB, url string, flags ...string) (*exec.Cmd, *output) {
	t.Helper()
	stderr := new(output)
	cmd := poolrun(t, append(flags, "-v", "--pool", url, "true")...)
	cmd.Stderr = stderr
	mustStart(t, cmd)
	eventually(t, "a waiter", func() bool { return strings.HasPrefix(stderr.String(), "poolrun: waiting for a slot of "+url) })
	return cmd, stderr
}

// startWitness starts a run whose command notes in a file whether a process is alive when it starts. That is
// how an overlap is seen from outside.
func startWitness(t testing.TB, url string, pid int, file string) *exec.Cmd {
	t.Helper()
	// A zombie has no exe.
	script := fmt.Sprintf("if readlink /proc/%d/exe >/dev/null; then echo overlap; else echo alone; fi >%s", pid, file)
	return mustStart(t, poolrun(t, "--pool", url, "--", "sh", "-c", script))
}

// wantNoOverlap checks what a witness has seen.
func wantNoOverlap(t testing.TB, file string) { t.Helper(); wantText(t, file, "alone\n") }

// wantOverlap checks that a witness has run beside the process, as in a pool that keeps commands.
func wantOverlap(t testing.TB, file string) { t.Helper(); wantText(t, file, "overlap\n") }

func wantText(t testing.TB, file, want string) {
	t.Helper()
	if text, err := os.ReadFile(file); err != nil || string(text) != want {
		t.Errorf("%s has %q instead of %q (%v)", file, text, want, err)
	}
}

// newProxy starts a proxy before the only member of a cluster.
func newProxy(t testing.TB, c *etcdtest.Cluster) *etcdtest.Proxy {
	t.Helper()
	proxy, err := etcdtest.NewProxy(c.Members[0].Address())
	must(t, err)
	t.Cleanup(func() { proxy.Close() })
	return proxy
}

// soon is how long something may take that happens at once, and does not wait for a lease to run out. The
// machine can be busy.
const soon = 5 * time.Second

// within checks that something did not take long.
func within(t testing.TB, limit time.Duration, what string, do func()) {
	t.Helper()
	began := time.Now()
	do()
	if took := time.Since(began); took > limit {
		t.Errorf("%s took %v", what, took)
	}
}

// outlastLeases lets more time pass than the lease of a waiter lasts, and that of a holder in a pool with
// --lease 5s.
func outlastLeases() { time.Sleep(11 * time.Second) }
