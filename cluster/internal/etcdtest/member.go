package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Member is one server of a cluster. Its data and its addresses stay the same however often it is
// restarted.
type Member struct {
	cluster      *Cluster
	name         string
	ip           netip.Addr // each member has its own, so that a firewall can tell connections to them apart
	client, peer *port
	network      *Network

	mu     sync.Mutex
	server *server // nil if it does not run
}

// newMember reserves what a member needs. It does not start it.
func newMember(c *Cluster, index int) (m *Member, err error) {
	ip := netip.AddrFrom4([4]byte{127, 0, 0, byte(index + 1)})
	m = &Member{cluster: c, name: fmt.Sprintf("m%d", index), ip: ip, network: home()}
	if m.client, err = reservePort(ip); err != nil {
		return nil, err
	}
	if m.peer, err = reservePort(ip); err != nil {
		m.client.release()
		return nil, err
	}
	return m, nil
}

// Address is the IP address and the port for clients.
func (m *Member) Address() string { return m.client.address.String() }

// Endpoint is the URL for clients.
func (m *Member) Endpoint() string { return m.cluster.URL(m.Address()) }

func (m *Member) peerURL() string { return "http://" + m.peer.address.String() }

// PID returns the process ID of the server, 0 if it does not run.
func (m *Member) PID() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.server == nil || m.server.exit() != nil {
		return 0
	}
	return m.server.cmd.Process.Pid
}

// Kill ends the server with SIGKILL, and returns when it has ended. It does nothing if the server does
// not run.
func (m *Member) Kill() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kill()
}

func (m *Member) kill() error {
	if m.server == nil {
		return nil
	}
	err := m.server.kill()
	if err == nil {
		m.server = nil
	}
	return err
}

// Restart starts the server, after it has killed it if it runs. It does not wait for it to be healthy,
// which may depend on other members.
func (m *Member) Restart() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.kill(); err != nil {
		return err
	}
	server, err := startServer(m.network, m.cluster.program, m.args(), m.log())
	if err == nil {
		m.server = server
	}
	return err
}

// Stop stops the server with SIGSTOP, and returns when all its threads have stopped.
func (m *Member) Stop() error {
	return m.withServer((*server).stop)
}

// Continue lets the server go on after a Stop.
func (m *Member) Continue() error {
	return m.withServer((*server).resume)
}

func (m *Member) withServer(do func(*server) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.server == nil {
		return fmt.Errorf("%s does not run", m.name)
	}
	return do(m.server)
}

// IsLeader reports whether the member leads the cluster, as far as it knows.
func (m *Member) IsLeader() (leads bool, err error) {
	err = m.ask(func(ctx context.Context, client *clientv3.Client) error {
		status, err := client.Status(ctx, m.Endpoint())
		leads = err == nil && status.Leader == status.Header.MemberId
		return err
	})
	return leads, err
}

// WaitHealthy returns when the member takes part in a majority: it answers a linearizable read. The
// error contains the end of its log if the server exits, or is not healthy in time.
func (m *Member) WaitHealthy() error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		err := m.ask(func(ctx context.Context, client *clientv3.Client) error {
			_, err := client.Get(ctx, "health")
			return err
		})
		if err == nil {
			return nil
		}
		exit := m.exit()
		if exit == nil {
			exit = pause(ctx)
		}
		if exit != nil {
			return fmt.Errorf("%s is not healthy: %w\n%s", m.name, errors.Join(exit, err), m.logTail())
		}
	}
}

// exit returns an error if the server does not run.
func (m *Member) exit() error {
	return m.withServer((*server).exit)
}

// ask makes a request to this member. It fails at once if no server listens: a client tries again only
// after a second. For the same reason, each request has a client of its own.
func (m *Member) ask(request func(context.Context, *clientv3.Client) error) error {
	conn, err := net.DialTimeout("tcp", m.Address(), requestLimit)
	if err != nil {
		return err
	}
	conn.Close()
	config := m.cluster.ClientConfig()
	config.Endpoints = []string{m.Endpoint()}
	client, err := clientv3.New(config)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), requestLimit)
	defer cancel()
	return request(ctx, client)
}

func (m *Member) log() string { return filepath.Join(m.cluster.dir, m.name+".log") }

// logTail returns the end of the log.
func (m *Member) logTail() string {
	const most = 4 << 10
	text, err := os.ReadFile(m.log())
	if err != nil {
		return err.Error()
	}
	return string(text[max(len(text)-most, 0):])
}

func (m *Member) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.kill()
	m.client.release()
	m.peer.release()
	if m.network != home() {
		m.network.Close()
	}
	return err
}
