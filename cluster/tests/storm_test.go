package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
	"github.com/poolrun/poolrun/cluster/internal/replay"
)

// In the storm, runs arrive on three simulated machines, for pools on an etcd of three members. Runs, members
// and networks fail at random. Two judges watch: the checker of package replay follows each pool, and the
// commands see from outside whether the limit is kept: they take seats, and there are as many as slots. All use TLS,
// and tokens that expire soon.
//
//	make storm-cluster DURATION=60s SEED=1
type storm struct {
	t        *testing.T
	seed     uint64
	cluster  *etcdtest.Cluster
	isolated bool // members and machines have networks of their own
	machines []*stormMachine
	pools    []*stormPool
	over     chan struct{} // closed when nothing new begins

	runs   atomic.Int64
	counts counts // of exit codes, harms and faults
}

// A stormMachine reaches each member through a Proxy.
type stormMachine struct {
	network *etcdtest.Network // nil if it has none of its own
	proxies []*etcdtest.Proxy
}

// A stormPool is one pool in the storm, and what happens to it.
type stormPool struct {
	testPool
	checker *replay.Checker
	dir     string // has the seats
	size    int    // the largest that it ever has
	resized bool   // its size changes
	keeps   bool   // its commands outlive a lost lease, and so take no seats
}

const (
	stormMachines    = 3
	stormLease       = 5 * time.Second
	longerThanLease  = stormLease + 2*time.Second
	shorterThanLease = stormLease / 2
	calmAfterFault   = 3 * time.Second
	stormDefault     = time.Minute
	stormHangs       = 3 * time.Minute // longer than many commands of others, and any fault
)

func TestStorm(t *testing.T) {
	duration, err := time.ParseDuration(os.Getenv("STORM_DURATION"))
	if err != nil {
		duration = stormDefault
	}
	seed, err := strconv.ParseUint(os.Getenv("STORM_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat it with: make storm-cluster DURATION=%v SEED=%d", duration, seed)
	s := newStorm(t, seed)
	var arrivals, others sync.WaitGroup
	for i, p := range s.pools {
		for j := range p.size + 2 {
			random, machine := s.random(10*i+j), s.machines[j%len(s.machines)]
			arrivals.Go(func() { s.untilOver(func() { s.arrive(machine, p, random) }) })
		}
		random := s.random(10*i + 9)
		others.Go(func() { s.untilOver(func() { s.govern(p, random) }) })
	}
	random := s.random(1000)
	others.Go(func() { s.untilOver(func() { s.fault(random) }) })
	for end := time.Now().Add(duration); time.Now().Before(end) && !t.Failed() && !s.isBroken(); {
		time.Sleep(100 * time.Millisecond)
	}
	close(s.over)
	others.Wait() // faults end before runs do
	arrivals.Wait()
	s.judge(duration)
}

func newStorm(t *testing.T, seed uint64) *storm {
	s := &storm{t: t, seed: seed, over: make(chan struct{})}
	network, err := etcdtest.NewNetwork("probe")
	if s.isolated = err == nil; s.isolated {
		network.Close()
	} else {
		t.Logf("members and machines are only processes: %v", err)
	}
	s.cluster = etcdtest.New(t, etcdtest.Config{Members: 3, Isolated: s.isolated, TLS: true, Auth: true, TokenTTL: shorterThanLease})
	for _, variable := range append(certificates(s.cluster), "ETCDCTL_USER="+etcdtest.Root, "ETCDCTL_PASSWORD="+etcdtest.RootPassword) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	for i := range stormMachines {
		s.machines = append(s.machines, s.newMachine(fmt.Sprintf("node%d", i+1)))
	}
	for _, p := range []*stormPool{{size: 1}, {size: 2}, {size: 4, resized: true}, {size: 2, keeps: true}} {
		flags := []string{"--lease", stormLease.String()}
		if p.keeps {
			flags = append(flags, "--on-lost", "keep")
		}
		p.dir, p.testPool = t.TempDir(), freePool(t, s.cluster)
		p.checker, err = replay.Follow(t.Context(), s.cluster.Client(), p.name)
		must(t, err)
		mustRun(t, append([]string{"init", p.url(), "--size", strconv.Itoa(p.size)}, flags...)...)
		s.pools = append(s.pools, p)
	}
	return s
}

func (s *storm) newMachine(host string) *stormMachine {
	m := &stormMachine{}
	if s.isolated {
		var err error
		m.network, err = etcdtest.NewNetwork(host)
		must(s.t, err)
		s.t.Cleanup(m.network.Close)
	}
	for _, member := range s.cluster.Members {
		proxy, err := member.Reach(m.network)
		must(s.t, err)
		s.t.Cleanup(func() { proxy.Close() })
		m.proxies = append(m.proxies, proxy)
	}
	return m
}

// urlOf is a pool as the machine reaches it.
func (m *stormMachine) urlOf(p *stormPool) string {
	var addresses []string
	for _, proxy := range m.proxies {
		addresses = append(addresses, proxy.Address())
	}
	return p.url(addresses...)
}

func (s *storm) random(stream int) *rand.Rand { return rand.New(rand.NewPCG(s.seed, uint64(stream))) }

// untilOver does something again and again, until the storm is over or the test has failed.
func (s *storm) untilOver(do func()) {
	for !s.t.Failed() {
		select {
		case <-s.over:
			return
		default:
			do()
		}
	}
}

// sleep returns early when the storm is over.
func (s *storm) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.over:
	}
}

// isBroken reports whether a checker has seen a violation.
func (s *storm) isBroken() bool {
	return slices.ContainsFunc(s.pools, func(p *stormPool) bool {
		select {
		case <-p.checker.Done():
			return true
		default:
			return false
		}
	})
}

// judge checks the pools after the last run has ended, and sums up.
func (s *storm) judge(duration time.Duration) {
	var takes, jumps, most []string
	for _, p := range s.pools {
		if !s.t.Failed() {
			waitUntilEmpty(s.t, p.url())
		}
		report, err := p.checker.Stop()
		if err != nil {
			s.t.Error(err)
		}
		if text, err := os.ReadFile(filepath.Join(p.dir, "stood")); err == nil {
			s.t.Errorf("%s: more than %d commands ran at once:\n%s", p.name, p.size, text)
		}
		takes = append(takes, strconv.Itoa(report.Takes))
		jumps = append(jumps, strconv.Itoa(report.Jumps))
		most = append(most, fmt.Sprintf("%d of %d", report.MostHeld, p.size))
	}
	fmt.Printf("storm of %v, seed %d: %d runs; takes %s, of them jumps %s; most slots held at once %s; %s\n",
		duration, s.seed, s.runs.Load(), strings.Join(takes, "+"), strings.Join(jumps, "+"), strings.Join(most, ", "), &s.counts)
}

// counts counts what happens, by name.
type counts struct {
	mutex sync.Mutex
	of    map[string]int
}

func (c *counts) add(name string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.of == nil {
		c.of = map[string]int{}
	}
	c.of[name]++
}

func (c *counts) String() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var list []string
	for name, n := range c.of {
		list = append(list, fmt.Sprintf("%s: %d", name, n))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
