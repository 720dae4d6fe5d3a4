package engine

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/pool"
)

// schemes are the schemes of URLs of pools, with the programs that manage these.
var schemes = [...]struct{ scheme, program string }{
	{"etcd", "poolrun-etcd"},
	{"etcds", "poolrun-etcd"},
}

// IsURL reports whether a name is that of a pool which an engine manages, and not a local one: whether
// it has the form SCHEME://. Since it has slashes, no local pool can have it. It is bare Go.
func IsURL(name string) bool {
	i := bare.Index(name, ':')
	return i > 0 && len(name) >= i+3 && name[i+1] == '/' && name[i+2] == '/'
}

// A URL is the name of a pool, or of all pools if it has no Name.
type URL struct {
	Scheme string
	Hosts  []string // HOST:PORT each; none: those of the environment
	Name   string   // with a slash, as for a local pool, or "/"
}

// ParseURL parses SCHEME://[HOST[:PORT],...]/NAME. NAME is as for a local pool, or empty: then the URL
// stands for all pools.
func ParseURL(text string) (u URL, err error) {
	fail := func(why string) (URL, error) {
		return URL{}, &pool.Error{Pool: fmt.Sprintf("pool name %q", text), Kind: pool.ErrInvalid, Cause: errors.New(why)}
	}
	var rest string
	u.Scheme, rest, _ = strings.Cut(text, "://")
	if programOf(u.Scheme) == "" {
		return fail("pools are local, like /db, or on etcd, like etcd:///db")
	}
	if !utf8.ValidString(text) { // it is sent as JSON
		return fail("it is not UTF-8")
	}
	hosts, name, ok := strings.Cut(rest, "/")
	if strings.Contains(hosts, "@") {
		return URL{}, &pool.Error{Pool: "pool name", Kind: pool.ErrInvalid,
			Cause: errors.New("a name has no user and no password: see ETCDCTL_USER in poolrun-etcd(7)")}
	}
	if !ok {
		return fail("the name of the pool is missing: want " + u.Scheme + "://HOST:PORT/NAME")
	}
	if hosts != "" {
		u.Hosts = strings.Split(hosts, ",")
	}
	for _, host := range u.Hosts {
		if host == "" || strings.ContainsAny(host, " \t\n\x00?#%") {
			return fail(fmt.Sprintf("%q is no host", host))
		}
	}
	u.Name = "/"
	if name != "" {
		if u.Name, err = pool.CheckName(name); err != nil || strings.HasPrefix(name, "/") {
			return fail("after the hosts comes one slash and the name of the pool, which has 1 to 200 bytes and no slash")
		}
	}
	return u, nil
}

// String is the URL as ParseURL takes it.
func (u URL) String() string { return u.Scheme + "://" + strings.Join(u.Hosts, ",") + u.Name }

// With is the URL of another pool in the same place.
func (u URL) With(name string) URL {
	u.Name = name
	return u
}

func programOf(scheme string) string {
	for _, s := range schemes {
		if s.scheme == scheme {
			return s.program
		}
	}
	return ""
}
