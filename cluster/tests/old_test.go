package tests

import (
	"cmp"
	"net"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// oldVariable names an etcd that is too old. Without it, the one in PATH serves, if it is.
const oldVariable = "POOLRUN_TEST_OLD_ETCD"

// An etcd that can end leases that are renewed is refused, unless a test says otherwise.
func TestAnOldEtcdIsRefused(t *testing.T) {
	t.Parallel()
	url := startOld(t)
	const text = "this is etcd 3\\.[0-9.]+, which can end leases that are renewed: etcd 3.5.13 or later is needed"
	for _, args := range [][]string{{"init", url, "--size", "1"}, {"--pool", url, "--size", "1", "true"}} {
		wantRefused(t, text, poolrun(t, args...))
	}
	const allow = "POOLRUN_ETCD_ALLOW_OLD=1"
	wantResult(t, with(poolrun(t, "init", url, "--size", "1"), allow), 0, "^$")
	wantResult(t, with(poolrun(t, "--pool", url, "sh", "-c", "exit 3"), allow), 3, "^$")
	wantRefused(t, text, poolrun(t, "--pool", url, "true"))
	wantResult(t, poolrun(t, "status", url), 0, "etcd 3\\.[0-9.]+ is too old")
}

// startOld starts an etcd that is too old, and returns the URL of a pool in it.
func startOld(t *testing.T) (url string) {
	t.Helper()
	program, err := exec.LookPath(cmp.Or(os.Getenv(oldVariable), "etcd"))
	if err != nil {
		t.Skip("there is no old etcd")
	}
	version, err := exec.Command(program, "--version").Output()
	if match := regexp.MustCompile(`3\.([0-4]|5\.([0-9]|1[0-2]))\b`).Find(version); match == nil || err != nil {
		t.Skipf("%s is not old: %q, %v", program, version, err)
	}
	client, peer := freeAddress(t), freeAddress(t)
	server := command(t, program, "--data-dir", t.TempDir(), "--log-level", "error", "--unsafe-no-fsync",
		"--listen-client-urls", "http://"+client, "--advertise-client-urls", "http://"+client, "--listen-peer-urls", "http://"+peer)
	server.Env = []string{"ETCD_UNSUPPORTED_ARCH=arm64"}
	mustStart(t, server)
	eventually(t, "an etcd that listens", func() bool {
		conn, err := net.Dial("tcp", client)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return "etcd://" + client + "/old"
}

// freeAddress returns an address at which nobody listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}
