package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
)

const secret = "s3cret-Passw0rd"

// A user with a password may use a pool, and no other.
func TestAUserMayUseOnePool(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, etcdtest.Config{Auth: true, TokenTTL: time.Second})
	p, other := freePool(t, c), freePool(t, c)
	must(t, c.AddUser("alice", secret, p.name))
	url := p.url()
	user, password := "ETCDCTL_USER=alice", "ETCDCTL_PASSWORD="+secret
	wantResult(t, with(poolrun(t, "init", url, "--size", "1", "--lease", "5s"), user, password), 0, "^$")
	wantResult(t, with(poolrun(t, "init", other.url(), "--size", "1"), "ETCDCTL_USER=root:"+etcdtest.RootPassword), 0, "^$")

	file := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(file, []byte(secret+"\n"), 0o600))
	fromFile := "POOLRUN_ETCD_PASSWORD_FILE=" + file
	for _, variables := range [][]string{{user + ":" + secret}, {user, password}, {user, fromFile}, {"POOLRUN_ETCD_USER=alice", "ETCDCTL_USER=root:wrong", fromFile}} {
		wantResult(t, with(poolrun(t, "--pool", url, "-n", "sh", "-c", "exit 3"), variables...), 3, "^$")
	}
	relative := with(poolrun(t, "--pool", url, "-n", "true"), user, "POOLRUN_ETCD_PASSWORD_FILE=password")
	relative.Dir = filepath.Dir(file)
	wantResult(t, relative, 0, "^$")

	for text, variables := range map[string][]string{
		"invalid user ID or password":            {user, "ETCDCTL_PASSWORD=wrong"},
		"etcd refuses it: user name is empty":    nil,
		"alice has no password":                  {user},
		"cannot read the password.*no such file": {user, "POOLRUN_ETCD_PASSWORD_FILE=/nowhere/p"},
	} {
		within(t, 2*soon, text, func() { wantRefused(t, text, with(poolrun(t, "--pool", url, "-w", "5s", "true"), variables...)) })
	}
	must(t, os.Chmod(file, 0o640))
	wantRefused(t, "password file .*its mode is 0640", with(poolrun(t, "--pool", url, "-n", "true"), user, fromFile))

	for _, args := range [][]string{
		{"--pool", other.url(), "-n", "true"}, {"--pool", other.url(), "true"}, {"status", other.url()}, {"resize", other.url(), "2"},
		{"destroy", other.url()}, {"destroy", other.url(), "--force"}, {"evict", other.url(), "--slot", "0"}, {"wait", other.url()}, {"destroy", other.url(), "--drain"},
	} {
		wantRefused(t, "cannot use pool "+other.url()+": etcd refuses it: permission denied", with(poolrun(t, args...), user, password))
	}
}

// A token that expires, or that a restarted server does not know, is replaced by the way.
func TestATokenThatExpiresIsReplaced(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, etcdtest.Config{Auth: true, TokenTTL: time.Second})
	p := freePool(t, c)
	must(t, c.AddUser("alice", secret, p.name))
	variable := "ETCDCTL_USER=alice:" + secret
	wantResult(t, with(poolrun(t, "init", p.url(), "--size", "1"), variable), 0, "^$")
	hold := func() (*exec.Cmd, int) {
		cmd, wait := prepareScript(t, p.url(), "ready; exec sleep 1000")
		mustStart(t, with(cmd, variable))
		return cmd, wait()
	}
	waiters := func(n int) {
		eventually(t, fmt.Sprint(n, " in line"), func() bool {
			list, err := keysIn(c, "/poolrun/v1/p"+p.name+"/w/")
			return err == nil && len(list) == n
		})
	}
	for _, expire := range []func(){
		func() { time.Sleep(4 * time.Second) }, // longer than the token
		func() { must(t, c.Members[0].Restart()); must(t, c.WaitHealthy()) },
	} {
		cmd, child := hold()
		waiter := mustStart(t, with(poolrun(t, "--pool", p.url(), "true"), variable))
		waiters(1)
		expire()
		within(t, 2*soon, "an eviction", func() {
			wantResult(t, with(poolrun(t, "evict", p.url(), "--slot", "0", "--signal", "KILL"), variable), 0, "^$")
		})
		waitForEnd(t, child)
		within(t, 2*soon, "the start of the next", func() { wantExit(t, 0, waiter) })
		wantExit(t, 128+9, cmd)
		if left, err := keysIn(c, "/poolrun/v1/p"+p.name+"/h/"); err != nil || len(left) > 0 {
			t.Errorf("%q, %v", left, err)
		}
	}
}
