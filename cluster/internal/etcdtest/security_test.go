package etcdtest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/poolrun/poolrun/cluster/internal/keys"
)

func TestTLSNeedsACertificateOfTheAuthority(t *testing.T) {
	c := New(t, Config{TLS: true})
	put(t, c, "k", "v")
	m := c.Members[0]

	without := c.ClientConfig().TLS
	without.Certificates = nil
	if err := handshake(m, without); !isRefusal(err) {
		t.Errorf("a client without a certificate gets %v", err)
	}

	other, err := NewAuthority(t.TempDir())
	must(t, err)
	foreign, err := other.Issue(Root)
	must(t, err)
	config, err := c.Authority.clientTLS(foreign, "")
	must(t, err)
	if err := handshake(m, config); !isRefusal(err) {
		t.Errorf("a client with a certificate of another authority gets %v", err)
	}

	config, err = other.clientTLS(c.ClientCert, "")
	must(t, err)
	var unknown x509.UnknownAuthorityError
	if err := handshake(m, config); !errors.As(err, &unknown) {
		t.Errorf("a client of another authority gets %v", err)
	}
}

func TestServersCanHaveACertificateForAnotherName(t *testing.T) {
	c := New(t, Config{TLS: true, ServerName: "elsewhere.test"})
	put(t, c, "k", "v")
	config, err := c.Authority.clientTLS(c.ClientCert, "")
	must(t, err)
	var mismatch x509.HostnameError
	if err := handshake(c.Members[0], config); !errors.As(err, &mismatch) {
		t.Errorf("a client that checks the address gets %v", err)
	}
}

func TestAUserHasOnePool(t *testing.T) {
	c := New(t, Config{Auth: true, TokenTTL: time.Second})
	must(t, c.AddUser("alice", "secret", "/hers"))
	config := c.ClientConfig()
	config.Username, config.Password = "alice", "secret"
	client, err := clientv3.New(config)
	must(t, err)
	defer client.Close()
	for key, want := range map[string]error{
		keys.Of("/hers").Pool():   nil,
		keys.Entry("/hers"):       nil,
		keys.Of("/others").Pool(): rpctypes.ErrPermissionDenied,
		keys.Entry("/others"):     rpctypes.ErrPermissionDenied,
	} {
		if _, err := client.Put(bounded(t), key, ""); !errors.Is(err, want) {
			t.Errorf("put %s: %v, want %v", key, err, want)
		}
	}
	put(t, c, keys.Of("/others").Pool(), "")
}

// handshake connects to a member. A server refuses a client's certificate after the client has finished
// its handshake, so the client has to read.
func handshake(m *Member, config *tls.Config) error {
	conn, err := tls.Dial("tcp", m.Address(), config)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(limit))
	_, err = conn.Read(make([]byte, 1))
	return err
}

// isRefusal reports whether an error is an alert of the other side.
func isRefusal(err error) bool {
	return err != nil && strings.Contains(err.Error(), "remote error: tls: ")
}
