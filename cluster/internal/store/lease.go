package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/poolrun/poolrun/internal/engine"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// A Lease is a lease of etcd that is renewed until it is given back or abandoned.
//
// It is safe until the TTL after the last renewal that was answered was sent: etcd begins to count later.
// Clocks of different machines are never compared, and this machine's clock is CLOCK_BOOTTIME, which goes
// on while the machine is suspended.
type Lease struct {
	ID    clientv3.LeaseID
	Asked time.Duration
	TTL   time.Duration // which can be longer than what was asked for

	store *Store
	safe  atomic.Int64
	end   context.CancelFunc
	ended chan struct{} // the renewing goroutine is over
	gone  chan struct{} // etcd does not know the lease any more

	mutex  sync.Mutex
	onSafe func(int64)
	why    error // the last renewal has failed
}

// Grant gets a lease that lasts at least as long, and begins to renew it.
func (s *Store) Grant(ctx context.Context, ttl time.Duration) (*Lease, error) {
	var l *Lease
	err := s.Do(ctx, func(ctx context.Context) error { // of two leases, one runs out
		sent := engine.Now()
		answer, err := s.etcd.Grant(ctx, int64((ttl+time.Second-1)/time.Second))
		if err != nil {
			return err
		}
		l = s.lease(answer.ID, time.Duration(answer.TTL)*time.Second)
		l.Asked = ttl
		l.safe.Store(sent + int64(l.TTL))
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.start()
	return l, nil
}

// Adopt renews a lease that another process has got, which has known until when it is safe; 0 if that is not known.
func (s *Store) Adopt(id clientv3.LeaseID, ttl time.Duration, safe int64) *Lease {
	l := s.lease(id, ttl)
	l.safe.Store(safe)
	l.start()
	return l
}

// AwaitSafe returns when it is known until when the lease is safe, or that it has gone; or when ctx ends.
func (l *Lease) AwaitSafe(ctx context.Context) error {
	known := make(chan struct{}, 1)
	l.OnSafe(func(int64) {
		select {
		case known <- struct{}{}:
		default:
		}
	})
	select {
	case <-known:
	case <-l.gone:
	case <-ctx.Done():
	}
	return ctx.Err()
}

func (s *Store) lease(id clientv3.LeaseID, ttl time.Duration) *Lease {
	return &Lease{ID: id, Asked: ttl, TTL: ttl, store: s, ended: make(chan struct{}), gone: make(chan struct{})}
}

func (l *Lease) start() {
	ctx, cancel := context.WithCancel(context.Background())
	l.end = cancel
	go l.keep(ctx)
}

// Safe is until when nobody else can get what the lease protects: a time of engine.Now.
func (l *Lease) Safe() int64 { return l.safe.Load() }

// Gone is closed when etcd does not know the lease any more: it has run out, or was revoked.
func (l *Lease) Gone() <-chan struct{} { return l.gone }

// IsGone reports whether etcd does not know the lease any more.
func (l *Lease) IsGone() bool {
	select {
	case <-l.gone:
		return true
	default:
		return false
	}
}

// OnSafe calls a function whenever Safe has another value, and once now. It is called by one goroutine at a
// time.
func (l *Lease) OnSafe(f func(until int64)) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.onSafe = f
	if safe := l.Safe(); safe != 0 {
		f(safe)
	}
}

// Why is why the last renewal has failed, nil if it has not.
func (l *Lease) Why() error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.why
}

// Abandon stops renewing. The lease runs out by itself.
func (l *Lease) Abandon() {
	l.end()
	<-l.ended
}

// Revoke gives the lease back: all its keys vanish in one revision. A lease that does not exist any more is
// no error.
func (l *Lease) Revoke(ctx context.Context) error {
	l.end()
	return l.store.RevokeLease(ctx, l.ID)
}

// RevokeLease revokes a lease that may not exist any more.
func (s *Store) RevokeLease(ctx context.Context, id clientv3.LeaseID) error {
	return s.Within(ctx, func(ctx context.Context) error {
		_, err := s.etcd.Revoke(ctx, id)
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return nil
		}
		return err
	})
}

// keep renews the lease three times in its TTL: a third after the last renewal that was answered was *sent*. So
// etcd can be silent for a third without consequences, also after it has been slow. After a failure, keep tries
// every second.
func (l *Lease) keep(ctx context.Context) {
	defer close(l.ended)
	var r renewals
	defer r.close()
	for wait := l.untilDue(); ; {
		// Timers stand still while the machine is suspended, and the lease does not. So each wait is a short one.
		const step = time.Second
		select {
		case <-time.After(min(wait, step)):
		case <-ctx.Done():
			return
		}
		if wait > step {
			wait = l.untilDue()
			continue
		}
		sent := engine.Now()
		ttl, err := r.renew(ctx, l)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && ttl == 0:
			close(l.gone)
			return
		}
		l.mutex.Lock()
		if l.why = err; err == nil {
			l.safe.Store(sent + int64(time.Duration(ttl)*time.Second))
			if l.onSafe != nil {
				l.onSafe(l.Safe())
			}
		}
		l.mutex.Unlock()
		if wait = l.untilDue(); err != nil {
			wait = min(time.Second, l.TTL/10)
		}
	}
}

// untilDue is how long the next renewal can wait; it is negative if that is late.
func (l *Lease) untilDue() time.Duration {
	return time.Duration(l.Safe() - int64(l.TTL)*2/3 - engine.Now())
}

// renewals is a stream of renewals. clientv3 has one too, but it does not tell when a renewal was sent.
type renewals struct {
	stream etcdserverpb.Lease_LeaseKeepAliveClient
	cancel context.CancelFunc
}

func (r *renewals) close() {
	if r.stream = nil; r.cancel != nil {
		r.cancel()
	}
}

// renew renews a lease, and returns for how many seconds; 0 if the lease does not exist. After a failure,
// the next call opens another stream, to another member.
func (r *renewals) renew(ctx context.Context, l *Lease) (ttl int64, err error) {
	defer func() {
		if err != nil {
			r.close()
			err = l.store.Explain(rpctypes.Error(err))
		}
	}()
	if r.stream == nil {
		ctx, r.cancel = context.WithCancel(clientv3.WithRequireLeader(ctx))
	}
	defer time.AfterFunc(min(tryLimit, l.TTL/6), r.cancel).Stop()
	if r.stream == nil {
		r.stream, err = etcdserverpb.NewLeaseClient(l.store.etcd.ActiveConnection()).LeaseKeepAlive(ctx, grpc.WaitForReady(true))
		if err != nil {
			return 0, err
		}
	}
	if err := r.stream.Send(&etcdserverpb.LeaseKeepAliveRequest{ID: int64(l.ID)}); err != nil {
		return 0, err
	}
	answer, err := r.stream.Recv()
	if err != nil {
		return 0, err
	}
	return answer.TTL, nil
}
