package etcdtest

import (
	"errors"
	"syscall"
	"testing"
)

// A leader that is cut off is replaced, and follows its successor when it is not cut off any more.
func TestACutOffLeaderIsReplaced(t *testing.T) {
	c, err := Start(Config{Members: 3, Isolated: true})
	if errors.Is(err, syscall.EPERM) {
		t.Skip("it takes root's privileges")
	}
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	put(t, c, "key", "before")
	leader, err := c.Leader()
	must(t, err)
	leader.Cut()
	waitFor(t, "another leader", func() bool {
		for _, m := range c.Members {
			if leads, err := m.IsLeader(); m != leader && leads && err == nil {
				return true
			}
		}
		return false
	})
	leader.Heal()
	must(t, c.WaitHealthy())
	if value := get(t, c, "key"); value != "before" {
		t.Errorf("the value %q", value)
	}
}
