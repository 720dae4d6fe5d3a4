package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A password is seen nowhere: not in arguments, in what poolrun prints, in its log, or in etcd.
func TestNoSecretIsShown(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, etcdtest.Config{Auth: true})
	p, log := freePool(t, c), filepath.Join(t.TempDir(), "log")
	must(t, c.AddUser("alice", secret, p.name))
	variable := "ETCDCTL_USER=alice:" + secret
	shown := new(output)
	run := func(variable string, args ...string) *exec.Cmd {
		cmd := with(poolrun(t, args...), variable)
		cmd.Stdout, cmd.Stderr = shown, shown
		return cmd
	}
	exitCode(t, run(variable, "init", p.url(), "--size", "1"))
	cmd, wait := prepareScript(t, p.url(), "ready; exec sleep 1000", "-v", "--log", log)
	mustStart(t, with(cmd, variable))
	child := wait()
	waiter := mustStart(t, run(variable, "-v", "--log", log, "--pool", p.url(), "-w", "2s", "true"))
	for _, pid := range processes(func(pid int) bool { return exeOf(pid) == binaries.agent || exeOf(pid) == binaries.poolrun }) {
		if strings.Contains(commandLine(pid), secret) {
			t.Errorf("arguments %q", commandLine(pid))
		}
	}
	answer, err := c.Client().Get(t.Context(), "/", clientv3.WithPrefix())
	must(t, err)
	for _, kv := range answer.Kvs {
		fmt.Fprintf(shown, "%s %s\n", kv.Key, kv.Value)
	}
	wantExit(t, 75, waiter)
	for _, format := range []string{"text", "json", "prometheus"} {
		exitCode(t, run(variable, "status", p.url(), "--format", format))
	}
	exitCode(t, run(variable+"x", "status", p.url()))
	exitCode(t, run(variable, "--pool", "etcd://alice:"+secret+"@127.0.0.1/a", "true"))
	exitCode(t, run(variable, "status", "etcd://alice:"+secret+"@127.0.0.1/a"))
	kill(t, child)
	wantExit(t, 128+9, cmd)
	text, err := os.ReadFile(log)
	must(t, err)
	if all := shown.String() + string(text); strings.Contains(all, secret) || !strings.Contains(all, "/h/0000") {
		t.Errorf("%s", all)
	}
}
