package jobserver

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/poolrun/poolrun/internal/crash"
	"github.com/poolrun/poolrun/pool"
	"golang.org/x/sys/unix"
)

// A Config says what a Server serves.
type Config struct {
	Pool *pool.Pool

	// Request are the options of the request for each token, and Weight is how many slots each takes.
	Request []pool.Option
	Weight  int

	Style Style

	// Report is called with what the user may want to know. It must not block.
	Report func(format string, args ...any)
}

// A Job is the command that is served.
type Job struct {
	// Lease is the lease in which the command runs, and Slots how many slots it has.
	Lease pool.LeaseID
	Slots int

	// Guard is the descriptor that guards the leases of tokens: see pool.Lease.GuardBy. It is -1 if
	// the command inherits none.
	Guard int
}

// A Server offers tokens to one command. All of its work is done by one goroutine: see run.
type Server struct {
	Config
	Job
	pipes *pipes
	bell  int // eventfd(2): run has to look

	ctx    context.Context
	cancel context.CancelFunc
	all    sync.WaitGroup
	closed sync.Once

	mutex   sync.Mutex
	command int           // its pid, 0 before it runs
	leases  []*pool.Lease // one for each token
	granted int           // how many of them run does not know yet
	failure error         // of the last request
	asking  *asking       // the request that stands in line, if there is one

	isSuspended bool          // nothing may be on offer, and no request may stand in line
	suspended   chan struct{} // closed when that is so

	arrivals   chan uint32 // what to await
	isAwaiting bool

	state // run's
}

// New makes the FIFOs. Nothing is offered before Serve. The server must be closed.
func New(c Config) (*Server, error) {
	path, err := pool.Path(c.Pool.Name())
	if err != nil {
		return nil, err
	}
	s := &Server{Config: c, bell: -1, arrivals: make(chan uint32, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if s.pipes, err = openPipes(path[:strings.LastIndexByte(path, '/')], c.Pool.ID(), c.Style); err != nil {
		return nil, err
	}
	s.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = haveRoom(s.bell)
	}
	if err != nil {
		s.pipes.close()
		closeFD(s.bell)
		return nil, err
	}
	// The threads start now: later, a limit on processes may be used up by the build.
	s.all.Go(s.run)
	s.all.Go(s.await)
	return s, nil
}

// Inherit are the descriptors that the command has to inherit besides the guard.
func (s *Server) Inherit() []int { return s.pipes.clients }

// haveRoom returns an error if this process cannot open the few files that it needs once it has a slot. It
// is called before.
func haveRoom(fd int) error {
	const few = 4
	var open []int
	defer func() {
		for _, fd := range open {
			unix.Close(fd)
		}
	}()
	for range few {
		fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		open = append(open, fd)
	}
	return nil
}

// Serve says what the server serves. It has to be called before SetCommand.
func (s *Server) Serve(job Job) { s.Job = job }

// Suspend calls stop while nothing is on offer, no request stands in line, and this process does not have
// the ledger lock: a stopped process must not keep from others what its command does not use.
func (s *Server) Suspend(stop func()) {
	s.mutex.Lock()
	suspended := make(chan struct{})
	s.isSuspended, s.suspended = true, suspended
	s.mutex.Unlock()
	s.ring()
	<-suspended
	s.Pool.Suspend(stop)
	s.mutex.Lock()
	s.isSuspended = false
	s.mutex.Unlock()
	s.ring()
}

// SetCommand says which process stands for the command. Its pid goes into the record of each lease. It
// has to be called when the command runs, and again as [pool.Lease.CheckGuard].
func (s *Server) SetCommand(pid int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	isNew := s.command != pid
	s.command = pid
	for _, lease := range s.leases {
		if isNew {
			lease.SetCommandPID(pid)
		} else if s.Guard >= 0 {
			lease.CheckGuard()
		}
	}
	if isNew {
		s.ring()
	}
}

// Close releases all leases: the command has ended. A second call, or one of a nil Server, does nothing.
func (s *Server) Close() {
	if s != nil {
		s.closed.Do(s.close)
	}
}

func (s *Server) close() {
	s.cancel()
	s.mutex.Lock()
	close(s.arrivals)
	s.mutex.Unlock()
	s.ring()
	s.all.Wait()
	// At once: each waits for the ledger lock for seconds if a stopped process has it.
	var all sync.WaitGroup
	for _, lease := range s.leases {
		all.Go(func() { lease.Release() })
	}
	all.Wait()
	s.pipes.close()
	unix.Close(s.bell)
}

// ring makes run look.
func (s *Server) ring() { unix.Write(s.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// await is a goroutine that waits for arrivals in the pool's line, whenever run asks for it.
func (s *Server) await() {
	for n := range s.arrivals {
		s.Pool.AwaitArrival(s.ctx, n)
		s.mutex.Lock()
		s.isAwaiting = false
		s.mutex.Unlock()
		s.ring()
	}
}

// awaitArrival lets await wait, unless it does already.
func (s *Server) awaitArrival(n uint32) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if !s.isAwaiting && s.ctx.Err() == nil {
		s.isAwaiting = true
		s.arrivals <- n
	}
}

// An asking is a request for one more lease.
type asking struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// request asks for one more lease.
func (s *Server) request() {
	ctx, cancel := context.WithCancel(s.ctx)
	a := &asking{cancel, make(chan struct{})}
	s.mutex.Lock()
	s.asking = a
	s.mutex.Unlock()
	s.all.Go(func() {
		defer close(a.ended)
		defer cancel()
		options := append(s.Request[:len(s.Request):len(s.Request)], pool.Extending(s.Lease))
		lease, err := s.Pool.Acquire(ctx, options...)
		if err == nil {
			err = s.back(lease)
		} else if ctx.Err() != nil {
			err = nil
		}
		s.mutex.Lock()
		if lease != nil && err == nil {
			s.leases = append(s.leases, lease)
			s.granted++
		}
		s.failure, s.asking = err, nil
		s.mutex.Unlock()
		s.ring()
	})
}

func (s *Server) isRequesting() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.asking != nil
}

// cancelRequest takes a request out of the line. It may have been served already.
func (s *Server) cancelRequest() {
	s.mutex.Lock()
	a := s.asking
	s.mutex.Unlock()
	if a != nil {
		a.cancel()
		<-a.ended
	}
}

// back makes a lease one that stays held if this process is killed, for as long as the command lives.
// Killed in here, it leaves a lease that nobody has a token for: it is held by the guard or by nobody.
func (s *Server) back(lease *pool.Lease) (err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.Guard >= 0 {
		err = lease.GuardBy(s.Guard)
		crash.Point("token's lease guarded")
	}
	if err == nil {
		err = lease.SetCommandPID(s.command)
		crash.Point("token's lease complete")
	}
	if err == nil && s.Guard >= 0 {
		_, err = lease.CheckGuard() // the command may have closed it
	}
	if err != nil {
		lease.Release()
	}
	return err
}

// useShortSlice asks the kernel to let this thread run as soon as it wakes, which it can since it never
// runs for long (EEVDF, since Linux 6.12): so it is often in time for a token that a client returns
// and takes again within microseconds.
func useShortSlice() {
	const slice = 100 * time.Microsecond
	if attr, err := unix.SchedGetAttr(0, 0); err == nil && attr.Policy == unix.SCHED_NORMAL {
		attr.Runtime = uint64(slice)
		unix.SchedSetAttr(0, attr, 0)
	}
}

// run offers tokens until Close.
func (s *Server) run() {
	runtime.LockOSThread() // the slice is the thread's, which ends with this function
	useShortSlice()
	for s.ctx.Err() == nil {
		s.mutex.Lock()
		suspended := s.suspended
		s.suspended = nil
		s.mutex.Unlock()
		limit := s.balance()
		if suspended != nil {
			close(suspended)
		}
		s.sleep(limit)
	}
}
