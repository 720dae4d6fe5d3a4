package tests

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The ways to say where etcd is.

func TestEndpointsAreThoseOfEtcdctl(t *testing.T) {
	t.Parallel()
	c := shared(t)
	p := newPoolIn(t, c, 1)
	address := c.Members[0].Address()
	for _, variables := range [][]string{
		{"ETCDCTL_ENDPOINTS=" + address},
		{"ETCDCTL_ENDPOINTS=http://" + address + "/"},
		{"ETCDCTL_ENDPOINTS= http://" + address + " , 127.0.0.1:1"},
		{"POOLRUN_ETCD_ENDPOINTS=" + address, "ETCDCTL_ENDPOINTS=127.0.0.1:1"},
		{"POOLRUN_ETCD_ENDPOINTS=", "ETCDCTL_ENDPOINTS=" + address},
	} {
		wantResult(t, with(poolrun(t, "--pool", "etcd://"+p.name, "-n", "sh", "-c", "exit 3"), variables...), 3, "^$")
	}
	wantResult(t, poolrun(t, "--pool", p.url("127.0.0.1:1", address), "-n", "sh", "-c", "exit 3"), 3, "^$")
}

func TestNoEndpointIsTold(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--pool", "etcd:///a", "true"}, {"status", "etcd:///a"}, {"list", "etcd:///"}, {"init", "etcd:///a", "--size", "1"}} {
		wantRefused(t, "no etcd is named: set ETCDCTL_ENDPOINTS", poolrun(t, args...))
		wantRefused(t, "no etcd is named: set ETCDCTL_ENDPOINTS", with(poolrun(t, args...), "ETCDCTL_ENDPOINTS= , "))
	}
}

// Whoever asks anew fails in time when etcd is out of reach, and says why.
func TestEtcdOutOfReachIsTold(t *testing.T) {
	t.Parallel()
	const url = "etcd://127.0.0.1:1/a"
	var all sync.WaitGroup
	for _, args := range [][]string{
		{"--pool", url, "true"}, {"--pool", url, "-n", "true"}, {"--pool", url, "-w", "1s", "true"}, {"--pool", url, "--size", "1", "true"}, {"--pool", url, "--no-fork", "true"},
		{"status", url}, {"list", "etcd://127.0.0.1:1/"}, {"init", url, "--size", "1"}, {"resize", url, "1"}, {"evict", url, "--slot", "0"},
		{"wait", url}, {"destroy", url}, {"destroy", url, "--force"}, {"destroy", url, "--drain"},
	} {
		cmd := poolrun(t, args...)
		all.Go(func() {
			within(t, 4*soon, args[0], func() {
				wantRefused(t, "^poolrun: cannot use pool etcd://127.0.0.1:1/a?: etcd does not answer.*connection refused", cmd)
			})
		})
	}
	all.Wait()
}

// Whatever it is that answers instead of etcd, or does not.
func TestWhatIsNoEtcdIsTold(t *testing.T) {
	t.Parallel()
	const badRequest = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
	var all sync.WaitGroup
	for place, text := range map[string]string{
		"etcd://" + listener(t, ""):                           "at http://127.0.0.1:\\d+$",
		"etcd://" + listener(t, badRequest):                   "",
		"etcd://" + listener(t, "220 mail.example ESMTP\r\n"): "",
		"etcd://no-such-host.invalid:2379":                    "no-such-host.invalid",
		"etcd://127.0.0.1:x":                                  "",
		"etcd://127.0.0.1:1,127.0.0.1:2":                      "connection refused",
		"etcds://" + shared(t).Members[0].Address():           "",
	} {
		cmd := poolrun(t, "--pool", place+"/a", "-n", "true")
		all.Go(func() {
			within(t, 4*soon, place, func() { wantRefused(t, "^poolrun: cannot use pool "+place+"/a: etcd does not answer.*"+text, cmd) })
		})
	}
	all.Wait()
}

// listener starts a server that says something to whoever connects, and nothing more.
func listener(t testing.TB, says string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			fmt.Fprint(conn, says)
		}
	}()
	return l.Addr().String()
}

// While it has no timeout, a run tries for a while, and a signal ends it.
func TestASignalEndsTheSearchForEtcd(t *testing.T) {
	t.Parallel()
	cmd := poolrun(t, "--pool", "etcd://"+listener(t, "")+"/a", "true")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	mustStart(t, cmd)
	agentOf(t, cmd)
	within(t, soon, "the end", func() {
		cmd.Process.Signal(syscall.SIGINT)
		wantSignal(t, syscall.SIGINT, cmd)
	})
	if stderr.Len() > 0 {
		t.Errorf("%q on stderr", stderr.String())
	}
}
