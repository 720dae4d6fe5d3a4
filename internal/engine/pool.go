package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/poolrun/poolrun/pool"
	"github.com/poolrun/poolrun/supervisor"
)

// A Pool is a pool that an engine manages, or all pools of a place. Errors are those of package pool,
// and name the pool by its URL.
type Pool struct {
	url     URL
	version string // of this program
	cell    *cell  // nil if this process only manages the pool
	adopted bool   // engines are no children of this process

	mutex   sync.Mutex
	closed  bool
	conn    *conn
	lease   *Lease  // that is held
	early   []Event // that came before the lease was known
	wish    Wish    // with what another engine has to know
	waiting func()  // called once when the request waits in line
}

// Open starts the engine of a pool, to manage the pool. It does not find out whether the pool exists.
// The caller has to call Close. The version is that of this program.
func Open(u URL, version string) (*Pool, error) { return open(u, version, nil, false) }

// OpenToRun starts the engine of a pool, to run a command in a slot of it. If this process is to become the
// command, the engine must not be its child.
func OpenToRun(u URL, version string, becomes bool) (*Pool, error) {
	c, err := newCell()
	if err != nil {
		return nil, &pool.Error{Pool: u.String(), Kind: pool.ErrUnavailable, Cause: err}
	}
	return open(u, version, c, becomes)
}

func open(u URL, version string, c *cell, adopted bool) (*Pool, error) {
	p := &Pool{url: u, version: version, cell: c, adopted: adopted}
	if err := p.start(nil); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// start starts an engine. Unless begin is nil, it is called before other requests can be made. The pool cannot be
// closed meanwhile, which would close what the engine inherits.
func (p *Pool) start(begin func(*conn)) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.closed {
		return errGone
	}
	socket, err := start(p.url, p.cell, p.adopted)
	if err != nil {
		return err
	}
	conn, err := connect(socket, Hello{Protocol: Protocol, Version: p.version, Pool: p.url.String()}, p.event)
	if err != nil {
		socket.Close()
		return p.explain(err)
	}
	if begin != nil {
		begin(conn)
	}
	p.conn = conn
	return nil
}

// Close ends the work with the pool. Slots that are held are given back as soon as nothing runs in them.
func (p *Pool) Close() error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.closed {
		return nil
	}
	if p.closed = true; p.conn != nil {
		p.conn.close()
	}
	if p.cell != nil {
		p.cell.close()
	}
	supervisor.AwaitCompanions(endLimit)
	return nil
}

// endLimit is how long an engine may take to end that has nothing to do any more.
const endLimit = 500 * time.Millisecond

// Name is the URL.
func (p *Pool) Name() string { return p.url.String() }

func (p *Pool) current() *conn {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.conn
}

func (p *Pool) call(ctx context.Context, method Method, params, result any) error {
	return p.explain(p.current().call(ctx, method, params, result))
}

// explain makes an error of package pool of any error, except of a context's.
func (p *Pool) explain(err error) error {
	if f, ok := errors.AsType[failed](err); ok {
		return f.Err(p.Name())
	}
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &pool.Error{Pool: p.Name(), Kind: pool.ErrUnavailable, Cause: err}
}

// Create makes a pool that does not exist yet.
func (p *Pool) Create(config Config) error {
	for _, item := range config.Items {
		if !utf8.ValidString(item) { // it is sent as JSON
			return &pool.Error{Pool: fmt.Sprintf("item %q", item), Kind: pool.ErrInvalid, Cause: errors.New("it is not UTF-8")}
		}
	}
	return p.call(context.Background(), Create, config, nil)
}

// Status takes a status of the pool.
func (p *Pool) Status() (s pool.Status, err error) {
	err = p.call(context.Background(), Status, nil, &s)
	return s, err
}

// List takes a status of all pools of the place, with the problems of reading some.
func (p *Pool) List() (all []pool.Status, problems []error, err error) {
	var listing Listing
	err = p.call(context.Background(), List, nil, &listing)
	for _, problem := range listing.Problems {
		problems = append(problems, problem.Err(p.Name()))
	}
	return listing.Pools, problems, err
}

// Resize, Destroy, ForceDestroy, Drain, WaitIdle and Signal do what the methods of a pool.Pool do.

func (p *Pool) Resize(size int) error {
	return p.call(context.Background(), Resize, Number{int64(size)}, nil)
}

func (p *Pool) Destroy() error      { return p.call(context.Background(), Destroy, nil, nil) }
func (p *Pool) ForceDestroy() error { return p.call(context.Background(), Remove, nil, nil) }

func (p *Pool) Drain(ctx context.Context) error    { return p.call(ctx, Drain, nil, nil) }
func (p *Pool) WaitIdle(ctx context.Context) error { return p.call(ctx, Wait, nil, nil) }

func (p *Pool) Signal(slot int, n syscall.Signal) (pid int, err error) {
	var result Number
	err = p.call(context.Background(), Signal, Target{slot, int(n)}, &result)
	return int(result.N), err
}

// event notes what an engine reports. It is called in the reading goroutine.
func (p *Pool) event(e Event) {
	p.mutex.Lock()
	if e.Place != "" {
		p.wish.Place = e.Place
	}
	if e.Lease != "" {
		p.wish.Lease = e.Lease
	}
	waiting, lease := func() {}, p.lease
	if lease == nil && (e.Safe != 0 || e.Lost != "") {
		p.early = append(p.early, e)
	}
	if e.Waiting && p.waiting != nil {
		waiting, p.waiting = p.waiting, nil
	}
	p.mutex.Unlock()
	waiting()
	if lease != nil {
		lease.note(e)
	}
}

// Acquire asks for slots, and waits for them in line. waiting, unless nil, is called once if it has to.
// An engine that is killed meanwhile is started again, and keeps the place in line. If ctx ends, Acquire
// leaves the line and returns the context's error, or the lease if it came just before.
func (p *Pool) Acquire(ctx context.Context, wish Wish, waiting func()) (*Lease, error) {
	p.mutex.Lock()
	p.wish, p.waiting = wish, waiting
	p.mutex.Unlock()
	began := time.Now()
	for restarts := 0; ; restarts++ {
		var grant Grant
		p.mutex.Lock()
		conn, asked := p.conn, p.wish
		p.early = nil // of another engine
		p.mutex.Unlock()
		err := conn.call(ctx, Acquire, asked, &grant)
		if err == nil {
			return p.newLease(grant, time.Since(began)), nil
		}
		if time.Since(conn.began) > restartSpan {
			restarts = 0
		}
		if !conn.isGone() || ctx.Err() != nil || restarts >= mostRestarts || p.restart(conn, nil) != nil {
			return nil, p.explain(err)
		}
		p.mutex.Lock()
		if wish.Timeout != 0 {
			p.wish.Timeout = max(wish.Timeout-time.Since(began), 1)
		}
		p.mutex.Unlock()
	}
}

// restart starts another engine in the place of one that has ended: see start.
func (p *Pool) restart(old *conn, begin func(*conn)) error {
	old.close()
	time.Sleep(restartPause)
	return p.start(begin)
}

// An engine that ends again and again is not only killed: mostRestarts is how often in a row another one is
// started that ends within restartSpan. The pause keeps them from using much of the machine.
const (
	mostRestarts = 3
	restartSpan  = time.Second
	restartPause = 20 * time.Millisecond
)
