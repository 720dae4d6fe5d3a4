package etcdtest

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// echo starts a server that sends back what it gets, after it has called got.
func echo(t *testing.T, got func()) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buffer := make([]byte, 1)
				for {
					if _, err := conn.Read(buffer); err != nil {
						return
					}
					got()
					conn.Write(buffer)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func newProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	p, err := NewProxy(target)
	must(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, limit)
	must(t, err, conn.SetDeadline(time.Now().Add(limit)))
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t *testing.T, conn net.Conn) {
	t.Helper()
	_, err := conn.Write([]byte("x"))
	must(t, err)
}

func receive(t *testing.T, conn net.Conn) {
	t.Helper()
	_, err := io.ReadFull(conn, make([]byte, 1))
	must(t, err)
}

func TestNothingPassesAProxyThatIsCut(t *testing.T) {
	var cut atomic.Bool
	p := newProxy(t, echo(t, func() {
		if cut.Load() {
			t.Error("something passes")
		}
	}))
	old := dial(t, p.Address())
	send(t, old)
	receive(t, old)

	p.Cut()
	cut.Store(true)
	send(t, old)
	young := dial(t, p.Address())
	send(t, young)

	cut.Store(false)
	p.Heal()
	receive(t, old)
	receive(t, young)
}

func TestAProxyDelaysBothDirections(t *testing.T) {
	p := newProxy(t, echo(t, func() {}))
	p.SetRoundTrip(40 * time.Millisecond)
	conn := dial(t, p.Address())
	start := time.Now()
	send(t, conn)
	receive(t, conn)
	if trip := time.Since(start); trip < 40*time.Millisecond {
		t.Errorf("a round trip takes %v", trip)
	}
}

func TestTheEndOfAConnectionPasses(t *testing.T) {
	p := newProxy(t, echo(t, func() {}))
	conn := dial(t, p.Address()).(*net.TCPConn)
	send(t, conn)
	must(t, conn.CloseWrite())
	if answer, err := io.ReadAll(conn); err != nil || string(answer) != "x" {
		t.Errorf("the answer is %q, %v", answer, err)
	}
}

func TestAProxyThatIsCutCanBeClosed(t *testing.T) {
	p := newProxy(t, echo(t, func() {}))
	conn := dial(t, p.Address())
	send(t, conn)
	receive(t, conn)
	p.Cut()
	send(t, conn)
	must(t, p.Close())
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a connection is open after Close")
	}
}

func TestAClientReachesAMemberThroughAProxy(t *testing.T) {
	c := New(t, Config{TLS: true})
	p := newProxy(t, c.Members[0].Address())
	config := c.ClientConfig()
	config.Endpoints = []string{c.URL(p.Address())}
	client, err := clientv3.New(config)
	must(t, err)
	defer client.Close()
	if _, err := client.Put(bounded(t), "k", "v"); err != nil {
		t.Fatal(err)
	}
	if v := get(t, c, "k"); v != "v" {
		t.Errorf("k is %q", v)
	}
}
