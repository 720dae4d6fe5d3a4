package etcdtest

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// args returns the arguments of a member's server. Nothing is synced to the disk: a server that is
// killed loses no data, because its machine lives on.
func (m *Member) args() []string {
	var peers []string
	for _, other := range m.cluster.Members {
		peers = append(peers, other.name+"="+other.peerURL())
	}
	args := []string{
		"--name", m.name,
		"--data-dir", filepath.Join(m.cluster.dir, m.name),
		"--listen-client-urls", m.Endpoint(),
		"--advertise-client-urls", m.Endpoint(),
		"--listen-peer-urls", m.peerURL(),
		"--initial-advertise-peer-urls", m.peerURL(),
		"--initial-cluster", strings.Join(peers, ","),
		"--logger", "zap",
		"--log-level", "warn",
		"--unsafe-no-fsync",
	}
	args = append(args, m.cluster.securityArgs()...)
	return append(args, m.cluster.config.ExtraArgs...)
}

func (c *Cluster) securityArgs() (args []string) {
	if c.config.TLS {
		args = append(args, "--client-cert-auth", "--trusted-ca-file", c.Authority.File,
			"--cert-file", c.server.Cert, "--key-file", c.server.Key)
	}
	if c.config.Auth {
		args = append(args, "--bcrypt-cost", "4")
	}
	if c.config.TokenTTL > 0 {
		args = append(args, "--auth-token-ttl", fmt.Sprint(int(c.config.TokenTTL/time.Second)))
	}
	return args
}
