package etcdtest

// A link is a Proxy through which a member of an isolated cluster is reached.
type link struct {
	*Proxy
	from *Member // nil for clients in the network of this process
	to   *Member
}

// isolate gives each member a network, and links them.
func (c *Cluster) isolate() (err error) {
	for _, m := range c.Members {
		if m.network, err = NewNetwork(m.name); err != nil {
			return err
		}
	}
	for _, to := range c.Members {
		if err := c.link(nil, to, to.Address()); err != nil {
			return err
		}
		for _, from := range c.Members {
			if from == to {
				continue
			}
			if err := c.link(from, to, to.peer.address.String()); err != nil {
				return err
			}
		}
	}
	return nil
}

// link lets an address of a member be reached from the network of another one.
func (c *Cluster) link(from, to *Member, address string) error {
	network := home()
	if from != nil {
		network = from.network
	}
	proxy, err := proxyBetween(network, address, to.network, address)
	if err == nil {
		c.links = append(c.links, link{proxy, from, to})
	}
	return err
}

// Cut cuts the member of an isolated cluster off from all other members. Clients still reach it.
func (m *Member) Cut() { m.eachPeer((*Proxy).Cut) }

// Heal ends a Cut.
func (m *Member) Heal() { m.eachPeer((*Proxy).Heal) }

func (m *Member) eachPeer(do func(*Proxy)) {
	for _, l := range m.cluster.links {
		if l.from != nil && (l.from == m || l.to == m) {
			do(l.Proxy)
		}
	}
}

// Reach starts a proxy in a network, before the address for clients. nil is the network of this process. The
// caller has to close the proxy.
func (m *Member) Reach(from *Network) (*Proxy, error) {
	if from == nil {
		from = home()
	}
	return proxyBetween(from, "127.0.0.1:0", m.network, m.Address())
}
