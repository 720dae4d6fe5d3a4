package etcdtest

import "testing"

// New starts a cluster for a test, and closes it when the test ends. If the test has failed, it prints
// the ends of the servers' logs.
func New(t testing.TB, config Config) *Cluster {
	t.Helper()
	c, err := Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, m := range c.Members {
				if tail := m.logTail(); tail != "" {
					t.Logf("the log of %s ends with:\n%s", m.name, tail)
				}
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
