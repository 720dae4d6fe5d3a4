package tests

import (
	"strings"
	"testing"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
)

// A store that takes no more data lets nobody start, and says so. Slots are given back all the same.
func TestAFullStoreIsTold(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, etcdtest.Config{ExtraArgs: []string{"--quota-backend-bytes", "2000000"}})
	p := newPoolIn(t, c, 2)
	h := startNoting(t, p.url())
	for i := 0; ; i++ {
		if _, err := c.Client().Put(t.Context(), "/fill", strings.Repeat("x", 300_000)); err != nil {
			break
		}
		if i > 100 {
			t.Fatal("the store does not become full")
		}
	}
	for _, args := range [][]string{{"--pool", p.url(), "true"}, {"--pool", p.url(), "-n", "true"}, {"resize", p.url(), "3"}, {"init", p.url() + "x", "--size", "1"}} {
		within(t, 2*soon, args[0], func() { wantRefused(t, "no space for pool .*: the store of etcd is full", poolrun(t, args...)) })
	}
	h.wantKept(t)
	wantEmpty(t, p.url())
	mustRun(t, "destroy", p.url())
}
