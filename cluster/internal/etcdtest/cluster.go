// Package etcdtest starts real etcd servers for tests, demonstrations and benchmarks.
//
// A Cluster consists of Members. Each is a process, which can be killed, restarted and stopped. None of
// them outlives the process that has started it. A Proxy stands before a member, and delays or cuts its
// connections.
//
// The server is the etcd that the variable POOLRUN_TEST_ETCD names, or else the program
// cluster/tests/etcd. The first Start of a process builds that, in a directory of the module.
package etcdtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// A Config describes a cluster. The zero Config is one member without TLS and authentication.
type Config struct {
	Members    int           // 0 stands for 1
	TLS        bool          // clients have to present a certificate of the cluster's Authority
	ServerName string        // with TLS: what the servers' certificate is for, instead of their addresses
	Auth       bool          // authentication is on, and the user Root may do everything
	TokenTTL   time.Duration // with Auth: how long a token lasts that is not used; 0 is etcd's default
	ExtraArgs  []string      // of each server, after all others
	Isolated   bool          // each member has a Network of its own, and can be Cut off from the others
}

// The user that may do everything if a cluster has Auth.
const (
	Root         = "root"
	RootPassword = "root's password"
)

const (
	limit        = time.Minute     // of each wait for a server
	requestLimit = 5 * time.Second // of a single request
)

// A Cluster is a running etcd. Its methods may be called concurrently.
type Cluster struct {
	Members    []*Member
	Authority  *Authority // nil without TLS
	ClientCert Pair       // with TLS: a certificate for the user Root

	config  Config
	dir     string
	program string
	server  Pair
	tls     *tls.Config
	authOn  bool
	client  *clientv3.Client
	links   []link // of an isolated cluster
	closing sync.Once
}

// Start starts a cluster, and returns when all its members are healthy. The caller has to close it.
// After an error, nothing is left of the cluster.
func Start(config Config) (c *Cluster, err error) {
	c = &Cluster{config: config}
	if err := c.start(); err != nil {
		return nil, fmt.Errorf("cannot start etcd: %w", errors.Join(err, c.Close()))
	}
	return c, nil
}

func (c *Cluster) start() (err error) {
	if c.program, err = program(); err != nil {
		return err
	}
	if c.dir, err = os.MkdirTemp("", "poolrun-etcd-"); err != nil {
		return err
	}
	for i := range max(c.config.Members, 1) {
		m, err := newMember(c, i)
		if err != nil {
			return err
		}
		c.Members = append(c.Members, m)
	}
	if c.config.Isolated {
		if err := c.isolate(); err != nil {
			return err
		}
	}
	if c.config.TLS {
		if err := c.makeCertificates(); err != nil {
			return err
		}
	}
	for _, m := range c.Members {
		if err := m.Restart(); err != nil {
			return err
		}
	}
	if err := c.WaitHealthy(); err != nil {
		return err
	}
	if c.config.Auth {
		if err := c.enableAuth(); err != nil {
			return err
		}
	}
	c.client, err = clientv3.New(c.ClientConfig())
	return err
}

func (c *Cluster) makeCertificates() (err error) {
	if c.Authority, err = NewAuthority(c.dir); err != nil {
		return err
	}
	hosts := []string{c.config.ServerName}
	if c.config.ServerName == "" {
		hosts = nil
		for _, m := range c.Members {
			hosts = append(hosts, m.ip.String())
		}
	}
	if c.server, err = c.Authority.Issue("etcd", hosts...); err != nil {
		return err
	}
	if c.ClientCert, err = c.Authority.Issue(Root); err != nil {
		return err
	}
	c.tls, err = c.Authority.clientTLS(c.ClientCert, c.config.ServerName)
	return err
}

// Close kills all servers and removes their data. Calls after the first do nothing.
func (c *Cluster) Close() (err error) {
	c.closing.Do(func() { err = c.close() })
	return err
}

func (c *Cluster) close() error {
	var errs []error
	if c.client != nil {
		errs = append(errs, c.client.Close())
	}
	for _, l := range c.links {
		errs = append(errs, l.Close())
	}
	for _, m := range c.Members {
		errs = append(errs, m.close())
	}
	if c.dir != "" {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

// Endpoints returns the URLs of all members, for clients.
func (c *Cluster) Endpoints() []string {
	var urls []string
	for _, m := range c.Members {
		urls = append(urls, m.Endpoint())
	}
	return urls
}

// URL returns the URL of an address at which a server or a Proxy listens, for clients.
func (c *Cluster) URL(address string) string {
	if c.config.TLS {
		return "https://" + address
	}
	return "http://" + address
}

// Client returns a client that may do everything. The cluster closes it.
func (c *Cluster) Client() *clientv3.Client { return c.client }

// ClientConfig returns the configuration of a client that may do everything, for callers that want to
// change something in it.
func (c *Cluster) ClientConfig() clientv3.Config {
	config := clientv3.Config{
		Endpoints:   c.Endpoints(),
		DialTimeout: requestLimit,
		TLS:         c.tls.Clone(),
		Logger:      zap.NewNop(),
	}
	if c.authOn {
		config.Username, config.Password = Root, RootPassword
	}
	return config
}

// WaitHealthy returns when all members are healthy.
func (c *Cluster) WaitHealthy() error {
	for _, m := range c.Members {
		if err := m.WaitHealthy(); err != nil {
			return err
		}
	}
	return nil
}

// Leader returns the member that leads. It waits for an election that is not over.
func (c *Cluster) Leader() (*Member, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		var errs []error
		for _, m := range c.Members {
			leads, err := m.IsLeader()
			if leads {
				return m, nil
			}
			errs = append(errs, err)
		}
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("no member leads: %w", errors.Join(append(errs, err)...))
		}
	}
}

// pause lets some time pass before something is looked at again.
func pause(ctx context.Context) error {
	select {
	case <-time.After(20 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
