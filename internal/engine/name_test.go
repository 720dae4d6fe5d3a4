package engine

import (
	"errors"
	"slices"
	"testing"

	"github.com/poolrun/poolrun/pool"
)

func TestURLsOfPools(t *testing.T) {
	for _, test := range []struct {
		text  string
		hosts []string
		name  string
	}{
		{"etcd:///db", nil, "/db"},
		{"etcds:///db", nil, "/db"},
		{"etcd://a:1,b/db", []string{"a:1", "b"}, "/db"},
		{"etcd://[::1]:2379/x y", []string{"[::1]:2379"}, "/x y"},
		{"etcd:///", nil, "/"},
		{"etcd://a/", []string{"a"}, "/"},
	} {
		u, err := ParseURL(test.text)
		if err != nil || !slices.Equal(u.Hosts, test.hosts) || u.Name != test.name || u.String() != test.text || !IsURL(test.text) {
			t.Errorf("%q: %+v, %v", test.text, u, err)
		}
	}
	for _, text := range []string{
		"etcd://", "etcd://a", "etcd:////db", "etcd:///a/b", "etcd:///.", "etcd://a,/db", "etcd://a b/db", "http://a/db",
		"etcd://user:secret@a/db", "://a/db", "etcd:///" + string(make([]byte, 1)), "etcd:///a\xff", "etcd://\xff/a",
	} {
		if _, err := ParseURL(text); !errors.Is(err, pool.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, name := range []string{"/db", "db", "a:b", "etcd:/db"} {
		if IsURL(name) {
			t.Errorf("%q is taken for a URL", name)
		}
	}
}
