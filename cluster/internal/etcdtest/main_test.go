package etcdtest

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// helper makes the test program start a cluster, print the process IDs of its servers, and wait to be
// killed.
const helper = "POOLRUN_ETCDTEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helper) == "" {
		os.Exit(m.Run())
	}
	c, err := Start(Config{Members: 3})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, member := range c.Members {
		fmt.Println(member.PID())
	}
	select {}
}

// bounded is a context that ends in time.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func put(t *testing.T, c *Cluster, key, value string) {
	t.Helper()
	if _, err := c.Client().Put(bounded(t), key, value); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, c *Cluster, key string) string {
	t.Helper()
	r, err := c.Client().Get(bounded(t), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Kvs) == 0 {
		return ""
	}
	return string(r.Kvs[0].Value)
}

// must fails the test at the first error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// waitFor waits until something can be seen.
func waitFor(t *testing.T, what string, seen func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !seen(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not seen within %v", what, limit)
		}
	}
}
