package tests

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
)

// certificates are the variables for the certificates of a cluster.
func certificates(c *etcdtest.Cluster) []string {
	return []string{"ETCDCTL_CACERT=" + c.Authority.File, "ETCDCTL_CERT=" + c.ClientCert.Cert, "ETCDCTL_KEY=" + c.ClientCert.Key}
}

func TestTLSWithClientCertificates(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, etcdtest.Config{TLS: true})
	p, all := freePool(t, c), certificates(c)
	url := p.url()
	wantResult(t, with(poolrun(t, "--pool", url, "--size", "1", "sh", "-c", "exit 3"), all...), 3, "^$")
	wantResult(t, with(poolrun(t, "--pool", "etcd://"+p.name, "true"), append(all, "ETCDCTL_ENDPOINTS="+c.Endpoints()[0])...), 0, "^$")
	wantResult(t, with(poolrun(t, "--pool", "etcd://"+p.name, "true"), append(all, "ETCDCTL_ENDPOINTS="+c.Members[0].Address())...), 0, "^$")

	relative := poolrun(t, "--pool", url, "true")
	relative.Dir = filepath.Dir(c.Authority.File)
	for _, variable := range all {
		name, file, _ := strings.Cut(variable, "=")
		relative.Env = append(relative.Env, strings.Replace(name, "ETCDCTL_", "POOLRUN_ETCD_", 1)+"="+filepath.Base(file))
	}
	wantResult(t, relative, 0, "^$")

	other, err := etcdtest.NewAuthority(t.TempDir())
	must(t, err)
	foreign, err := other.Issue("root")
	must(t, err)
	for _, test := range []struct {
		text      string
		variables []string
	}{
		// The server refuses a certificate after the handshake of the client, which may then see only that the
		// connection ends.
		{"etcd does not answer", all[:1]},
		{"etcd does not answer", []string{all[0], "ETCDCTL_CERT=" + foreign.Cert, "ETCDCTL_KEY=" + foreign.Key}},
		{"signed by unknown authority", nil},
		{"signed by unknown authority", []string{"ETCDCTL_CACERT=" + other.File, all[1], all[2]}},
		{"needs both ETCDCTL_CERT and ETCDCTL_KEY", all[:2]},
		{"cannot read the CA's certificate.*no such file", []string{"ETCDCTL_CACERT=/nowhere/ca.pem"}},
		{"/dev/null has no certificate of a CA", []string{"ETCDCTL_CACERT=/dev/null"}},
		{"cannot read the client certificate.*no such file", []string{all[0], "ETCDCTL_CERT=/nowhere/c.pem", all[2]}},
		{`INSECURE_SKIP_TLS_VERIFY is "maybe"`, append(all[:3:3], "ETCDCTL_INSECURE_SKIP_TLS_VERIFY=maybe")},
		{"cannot read the client certificate.*private key", []string{all[0], all[1], "ETCDCTL_KEY=" + foreign.Key}},
	} {
		cmd := with(poolrun(t, "--pool", url, "-n", "true"), test.variables...)
		within(t, 2*soon, test.text, func() { wantRefused(t, "cannot use pool "+url+": .*"+test.text, cmd) })
	}
	plain := poolrun(t, "--pool", "etcd://"+c.Members[0].Address()+p.name, "-n", "true")
	within(t, 2*soon, "no TLS", func() { wantRefused(t, "etcd does not answer", plain) })
}

func TestACertificateForAnotherNameIsRefused(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, etcdtest.Config{TLS: true, ServerName: "elsewhere.test"})
	url := freePool(t, c).url()
	within(t, 2*soon, "the refusal", func() {
		wantRefused(t, "127.0.0.1", with(poolrun(t, "--pool", url, "-n", "true"), certificates(c)...))
	})
}
