package tests

import "testing"

func TestInitRefusesBadValues(t *testing.T) {
	t.Parallel()
	url := freePool(t, shared(t)).url()
	for _, test := range []struct {
		text  string
		flags []string
	}{
		{"missing flags: --size", nil},
		{"size", []string{"--size", "0"}},
		{"size", []string{"--size", "4097"}},
		{"size", []string{"--size", "-1"}},
		{"lease 1s", []string{"--size", "1", "--lease", "1s"}},
		{"lease 48h", []string{"--size", "1", "--lease", "2d"}},
		{"a lease of 0 would", []string{"--size", "1", "--lease", "0"}},
		{"infinite lease", []string{"--size", "1", "--lease", "infinity"}},
		{"on-lost", []string{"--size", "1", "--on-lost", "maybe"}},
		{"--mode and --group are for local pools", []string{"--size", "1", "--mode", "0660"}},
		{"--mode and --group are for local pools", []string{"--size", "1", "--group", "root"}},
		{"infinite delay", []string{"--size", "1", "--delay", "infinity"}},
		{"--mode and --group are for local pools", []string{"--size", "1", "--mode", "0600"}},
		{`item "a\\xff": it is not UTF-8`, []string{"--item", "a\xff"}},
		{"items.*1 for 2 slots", []string{"--size", "2", "--item", "a"}},
	} {
		wantRefused(t, test.text, poolrun(t, append([]string{"init", url}, test.flags...)...))
	}
	wantRefused(t, "for pools on etcd only", poolrun(t, "init", "/t-local", "--size", "1", "--lease", "10s"))
	wantRefused(t, "no pool "+url, poolrun(t, "status", url))
	mustRun(t, "init", url, "--size", "1")
	wantRefused(t, "pool "+url+" exists already", poolrun(t, "init", url, "--size", "2"))
	mustRun(t, "init", url, "--size", "2", "--exist-ok")
	if s := statusOf(t, url); s.Size != 1 {
		t.Errorf("size %d", s.Size)
	}
}
