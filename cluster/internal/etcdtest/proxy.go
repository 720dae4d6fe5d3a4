package etcdtest

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Proxy stands before a server and passes TCP connections on to it. It can delay what is sent, and
// it can be cut, like a network.
type Proxy struct {
	listener net.Listener
	network  *Network // where the target is
	target   string
	oneWay   atomic.Int64 // the delay of one direction, in nanoseconds
	closed   chan struct{}
	running  sync.WaitGroup

	mu     sync.Mutex
	healed chan struct{} // closed while data may pass
	conns  map[net.Conn]bool
}

// NewProxy starts a proxy before the address of a server, IP:PORT. The caller has to close it.
func NewProxy(target string) (*Proxy, error) {
	return proxyBetween(home(), "127.0.0.1:0", home(), target)
}

// proxyBetween starts a proxy that listens at an address in one network, before a server in another.
func proxyBetween(from *Network, address string, to *Network, target string) (*Proxy, error) {
	var listener net.Listener
	var err error
	from.Do(func() { listener, err = net.Listen("tcp", address) })
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		listener: listener,
		network:  to,
		target:   target,
		closed:   make(chan struct{}),
		healed:   make(chan struct{}),
		conns:    map[net.Conn]bool{},
	}
	close(p.healed)
	p.running.Go(p.accept)
	return p, nil
}

// Address is the address of the proxy, IP:PORT.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// SetRoundTrip delays what is sent from now on, by half of the time in each direction.
func (p *Proxy) SetRoundTrip(d time.Duration) { p.oneWay.Store(int64(d / 2)) }

// Cut lets nothing pass until Heal is called: new connections wait, and open ones stay open. What is
// passing at this moment may still arrive.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.healed:
		p.healed = make(chan struct{})
	default:
	}
}

// Heal ends a Cut. What was sent meanwhile arrives now.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.healed:
	default:
		close(p.healed)
	}
}

// Close closes the proxy and all its connections. Calls after the first do nothing.
func (p *Proxy) Close() error {
	err := p.close()
	p.running.Wait()
	return err
}

func (p *Proxy) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isClosed() {
		return nil
	}
	close(p.closed)
	for conn := range p.conns {
		conn.Close()
	}
	return p.listener.Close()
}

func (p *Proxy) isClosed() bool {
	select {
	case <-p.closed:
		return true
	default:
		return false
	}
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(conn.(*net.TCPConn)) })
	}
}

// serve passes on what both sides send until both have ended.
func (p *Proxy) serve(client *net.TCPConn) {
	defer p.forget(client)
	if !p.remember(client) || !p.mayPass() {
		return
	}
	var conn net.Conn
	var err error
	p.network.Do(func() { conn, err = net.DialTimeout("tcp", p.target, requestLimit) })
	if err != nil {
		return
	}
	defer p.forget(conn)
	if !p.remember(conn) {
		return
	}
	server := conn.(*net.TCPConn)
	var both sync.WaitGroup
	both.Go(func() { p.pass(server, client) })
	both.Go(func() { p.pass(client, server) })
	both.Wait()
}

// remember registers a connection that Close has to close. It fails if Close has been called.
func (p *Proxy) remember(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isClosed() {
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *Proxy) forget(conn net.Conn) {
	conn.Close()
	p.mu.Lock()
	delete(p.conns, conn)
	p.mu.Unlock()
}

// mayPass waits until the proxy is not cut. It returns false if the proxy is closed.
func (p *Proxy) mayPass() bool {
	p.mu.Lock()
	healed := p.healed
	p.mu.Unlock()
	select {
	case <-healed:
		return true
	case <-p.closed:
		return false
	}
}

// A segment is what arrives at one moment.
type segment struct {
	data []byte
	at   time.Time
}

// pass passes on what one side sends, and then its end.
func (p *Proxy) pass(to, from *net.TCPConn) {
	segments := make(chan segment, 64)
	p.running.Go(func() { p.read(segments, from) })
	for s := range segments {
		if !p.waitUntil(s.at) || !p.mayPass() {
			break
		}
		if _, err := to.Write(s.data); err != nil {
			break
		}
	}
	p.mayPass()
	to.CloseWrite()
	from.CloseRead()
	for range segments { // so that the reader ends
	}
}

func (p *Proxy) read(segments chan<- segment, from net.Conn) {
	defer close(segments)
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			segments <- segment{append([]byte(nil), buffer[:n]...), time.Now().Add(time.Duration(p.oneWay.Load()))}
		}
		if err != nil {
			return
		}
	}
}

// waitUntil returns false if the proxy is closed before.
func (p *Proxy) waitUntil(moment time.Time) bool {
	select {
	case <-time.After(time.Until(moment)):
		return true
	case <-p.closed:
		return false
	}
}
