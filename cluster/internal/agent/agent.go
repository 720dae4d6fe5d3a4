// Package agent is the engine for pools on etcd: the other side of package engine. One agent serves one
// poolrun.
//
// agent.go reads the requests and answers them. keeper.go looks after slots that are held, until nothing runs
// in them any more. process_linux.go has what it needs to know about other processes.
package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/pools"
	"github.com/poolrun/poolrun/cluster/internal/store"
	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/internal/names"
	"github.com/poolrun/poolrun/pool"
)

// Main serves the poolrun that has started this process, and returns when there is nothing to do any more.
func Main(version string) {
	// An agent ends when nobody needs it. A signal to all processes of a service, for example, is meant for
	// the command, and the slot has to be held until the command has ended.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE,
		syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGALRM, syscall.SIGVTALRM, syscall.SIGPROF)
	syscall.SetNonblock(engine.SocketFD, true)
	a := &agent{
		socket: os.NewFile(engine.SocketFD, "poolrun"), messages: make(chan any, mostMessages), running: map[int64]context.CancelFunc{},
	}
	a.send(engine.Hello{Protocol: engine.Protocol, Version: version})
	go a.write()
	a.serve()
}

// mostMessages is how many messages may wait for poolrun to read them. If poolrun is stopped, further events are
// dropped: nothing here may wait for it.
const mostMessages = 64

// An agent serves one poolrun.
type agent struct {
	socket   *os.File
	messages chan any // for poolrun
	url      engine.URL

	mutex    sync.Mutex
	running  map[int64]context.CancelFunc // requests, by ID
	work     sync.WaitGroup               // a goroutine for each of them, except an adoption
	keeper   *keeper                      // of the slots that are held, nil if there are none
	adoption *adoption                    // nil unless poolrun has asked for one
	command  int                          // the pid that poolrun has told last

	opening sync.Mutex
	store   *store.Store
}

// An adoption is a request to adopt slots. It goes on when poolrun ends, and what concerns the slots in etcd waits for
// it.
type adoption struct {
	term time.Duration // of the lease
	done chan struct{}
	err  error // valid once done is closed
}

// endLimit is how long the requests may take to leave nothing behind, after poolrun has ended.
const endLimit = 5 * time.Second

func (a *agent) serve() {
	lines := bufio.NewScanner(a.socket)
	lines.Buffer(nil, 1<<20)
	if a.greet(lines) {
		for lines.Scan() {
			var r engine.Request
			if json.Unmarshal(lines.Bytes(), &r) != nil {
				break
			}
			a.begin(r)
		}
	}
	// poolrun has ended, or has become the command.
	a.mutex.Lock()
	for _, cancel := range a.running {
		cancel()
	}
	a.mutex.Unlock()
	ended := make(chan struct{})
	go func() { a.work.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(endLimit):
	}
	k := a.keeping()
	if k == nil {
		return
	}
	k.leave()
	if a.adoption != nil {
		select {
		case <-a.adoption.done:
			if a.adoption.err != nil && !k.poolrun.hasEnded() { // poolrun has another engine
				return
			}
		case <-time.After(a.adoption.term):
		}
	}
	k.keepAlone()
}

// greet reads the first line.
func (a *agent) greet(lines *bufio.Scanner) bool {
	var hello engine.Hello
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &hello) != nil || hello.Protocol != engine.Protocol {
		return false
	}
	var err error
	a.url, err = engine.ParseURL(hello.Pool)
	return err == nil
}

// write writes the messages.
func (a *agent) write() {
	for message := range a.messages {
		a.send(message)
	}
}

func (a *agent) send(message any) {
	line, err := json.Marshal(message)
	if err != nil {
		panic(err) // all messages are numbers and texts
	}
	engine.Write(a.socket, append(line, '\n')) // if poolrun has ended, reading says so
}

// tell tells poolrun an event.
func (a *agent) tell(e engine.Event) {
	select {
	case a.messages <- engine.Reply{Event: &e}:
	default:
	}
}

func (a *agent) keeping() *keeper {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.keeper
}

// begin begins to work on a request.
func (a *agent) begin(r engine.Request) {
	switch r.Method {
	case engine.Cancel:
		a.mutex.Lock()
		defer a.mutex.Unlock()
		if cancel := a.running[params[engine.Number](r).N]; cancel != nil {
			cancel()
		}
		return
	case engine.Started:
		a.mutex.Lock()
		a.command = int(params[engine.Number](r).N)
		a.mutex.Unlock()
		if k := a.keeping(); k != nil {
			k.started(a.command)
		}
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	isAdoption := r.Method == engine.Adopt && a.adoption == nil
	a.mutex.Lock()
	if isAdoption {
		a.adoption = &adoption{term: params[engine.Grant](r).Term, done: make(chan struct{})}
	} else {
		a.running[r.ID] = cancel
	}
	a.mutex.Unlock()
	work := func() {
		result, err := a.do(ctx, r)
		if isAdoption {
			a.adoption.err = err
			close(a.adoption.done)
		}
		a.mutex.Lock()
		delete(a.running, r.ID)
		a.mutex.Unlock()
		cancel()
		reply := engine.Reply{ID: r.ID}
		if err != nil {
			failure := engine.Fail(err)
			reply.Error = &failure
		} else if reply.Result, err = json.Marshal(result); err != nil {
			panic(err)
		}
		a.messages <- reply
	}
	if isAdoption {
		go work()
	} else {
		a.work.Go(work)
	}
}

// params decodes the parameters of a request. Those that cannot be decoded are zero.
func params[T any](r engine.Request) (p T) {
	json.Unmarshal(r.Params, &p)
	return p
}

func (a *agent) do(ctx context.Context, r engine.Request) (result any, err error) {
	switch r.Method {
	case engine.Confirm:
		if k := a.keeping(); k != nil {
			k.confirm()
		}
		return nil, nil
	case engine.Release:
		return nil, a.release(ctx)
	case engine.Acquire:
		return a.acquire(ctx, params[engine.Wish](r))
	case engine.Adopt:
		return nil, a.adopt(ctx, params[engine.Grant](r))
	}
	limited, cancel := context.WithTimeout(ctx, pools.ManageLimit)
	defer cancel()
	s, err := a.open(limited)
	if err != nil {
		return nil, err
	}
	if r.Method != engine.Drain && r.Method != engine.Wait {
		ctx = limited
	}
	p := pools.Open(s, a.url, local())
	switch r.Method {
	case engine.Create:
		return nil, p.Create(ctx, params[engine.Config](r))
	case engine.Status:
		return p.Status(ctx)
	case engine.List:
		return pools.List(ctx, s, a.url, local())
	case engine.Resize:
		return nil, p.Resize(ctx, int(params[engine.Number](r).N))
	case engine.Destroy:
		return nil, p.Destroy(ctx)
	case engine.Remove:
		return nil, p.ForceDestroy(ctx)
	case engine.Drain:
		return nil, p.Drain(ctx)
	case engine.Wait:
		return nil, p.WaitIdle(ctx)
	case engine.Signal:
		target := params[engine.Target](r)
		pid, err := p.Signal(ctx, target.Slot, target.Signal)
		return engine.Number{N: int64(pid)}, err
	}
	return nil, a.fail(pool.ErrUnavailable, fmt.Errorf("its engine does not know the request %q", r.Method))
}

func (a *agent) fail(kind, cause error) error {
	return &pool.Error{Pool: a.url.String(), Kind: kind, Cause: cause}
}

func (a *agent) acquire(ctx context.Context, wish engine.Wish) (any, error) {
	poolrun, err := openProcess(wish.PID)
	if err != nil {
		return nil, a.fail(pool.ErrUnavailable, err)
	}
	if wish.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wish.Timeout)
		defer cancel()
	}
	reach, cancel := pools.Reach(ctx, wish)
	defer cancel()
	s, err := a.open(reach)
	if err != nil {
		return nil, err
	}
	held, ancestors := ancestry(wish.PID, wish.Inside)
	wish.Held += held
	h, err := pools.Open(s, a.url, local()).Acquire(ctx, pools.Request{
		Wish: wish, Process: poolrun.identity, Ancestors: ancestors, IsStopped: poolrun.isStopped, Note: a.tell,
	})
	if err != nil {
		return nil, err
	}
	grant := h.Grant(wish)
	if !h.IsNested() {
		a.keep(poolrun, grant).hold(h)
	}
	return grant, nil
}

func (a *agent) adopt(ctx context.Context, grant engine.Grant) error {
	poolrun, err := openProcess(grant.PID)
	switch {
	case errors.Is(err, syscall.ESRCH):
		poolrun = endedProcess(grant.PID)
	case err != nil:
		return a.fail(pool.ErrUnavailable, err)
	}
	k := a.keep(poolrun, grant) // the command ends in time, also if etcd does not answer
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	h, err := pools.Open(s, a.url, local()).Adopt(grant)
	if err == nil {
		k.hold(h)
	}
	return err
}

// keep begins to look after the slots of a grant.
func (a *agent) keep(poolrun *process, grant engine.Grant) *keeper {
	k := newKeeper(poolrun, grant, a.tell)
	a.mutex.Lock()
	a.keeper = k
	command := a.command
	a.mutex.Unlock()
	if command != 0 { // it was told before
		k.started(command)
	}
	go k.keep()
	return k
}

func (a *agent) release(ctx context.Context) error {
	if a.adoption != nil {
		select {
		case <-a.adoption.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if a.adoption.err != nil {
			return a.adoption.err
		}
	}
	k := a.keeping()
	if k == nil {
		return nil
	}
	err := k.release(ctx)
	if err == nil {
		a.mutex.Lock()
		a.keeper = nil
		a.mutex.Unlock()
	}
	return err
}

// open connects to etcd, once. While no member answers, it tries again until ctx ends: only with a password
// is an answer needed here.
func (a *agent) open(ctx context.Context) (*store.Store, error) {
	a.opening.Lock()
	defer a.opening.Unlock()
	if a.store != nil {
		return a.store, nil
	}
	environment := store.Environment{Lookup: os.Getenv, Dir: os.Getenv(engine.DirVariable)}
	config, err := environment.Config(a.url.Hosts, a.url.Scheme == "etcds")
	if err != nil {
		return nil, a.fail(pool.ErrUnavailable, err)
	}
	for {
		s, err := store.Open(config)
		switch {
		case err == nil:
			a.store = s
			return s, nil
		case errors.Is(err, store.ErrRefused):
			return nil, a.fail(pool.ErrPermission, err)
		case !store.Silent(err) || ctx.Err() != nil:
			return nil, a.fail(pool.ErrUnavailable, err)
		}
	}
}

// local is what this process knows without etcd.
func local() pools.Local {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	return pools.Local{Host: host, User: strings.ToValidUTF8(names.User(uint32(os.Getuid())), "?"), AllowOld: os.Getenv("POOLRUN_ETCD_ALLOW_OLD") == "1"}
}
