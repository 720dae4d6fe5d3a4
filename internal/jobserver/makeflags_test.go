package jobserver

import (
	"slices"
	"testing"
)

// What the caller has in MAKEFLAGS stays, except for other limits on jobs.
func TestFlags(t *testing.T) {
	s := &Server{pipes: &pipes{dir: "/dir"}}
	const own = "-j --jobserver-auth=fifo:/dir/tokens"
	for _, test := range []struct {
		before, after string
		replaced      []string
	}{
		{"", own, nil},
		{"k", "k " + own, nil},
		{" -s", "-s " + own, nil},
		{"-j4", own, []string{"-j4"}},
		{"j", own, []string{"j"}},
		{"kj8s", "ks " + own, []string{"kj8s"}},
		{"-kj", "-k " + own, []string{"-kj"}},
		{"w -j4 --jobserver-auth=3,4", "w " + own, []string{"-j4", "--jobserver-auth=3,4"}},
		{"--jobserver-fds=3,4 --jobs=2 --jobserver-style=pipe", own, []string{"--jobserver-fds=3,4", "--jobs=2", "--jobserver-style=pipe"}},
		{"s -- CC=gcc\\ -j4 NAME=j4", "s " + own + " -- CC=gcc\\ -j4 NAME=j4", nil},
		{"-Ijob -l2.5 --no-print-directory", "-Ijob -l2.5 --no-print-directory " + own, nil},
		{"CC=gcc j4", "CC=gcc j4 " + own, nil},
	} {
		after, replaced := s.Flags(test.before)
		if after != test.after || !slices.Equal(replaced, test.replaced) {
			t.Errorf("%q: %q, and %q replaced", test.before, after, replaced)
		}
	}
}
