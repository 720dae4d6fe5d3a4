// Package store speaks with an etcd cluster: it connects as etcdctl does, gives each request a deadline
// and further tries, and says in plain words why there is no answer.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// tryLimit is how long one try of a request may take. Without it, a member that is cut off from the others
// would keep a request for as long as it stays so. The next try goes to another member.
const tryLimit = 2 * time.Second

// A Store is a connection to an etcd cluster.
type Store struct {
	etcd      *clientv3.Client
	endpoints []string
}

// Open prepares the connection. It does not wait for an answer.
func Open(c Config) (*Store, error) {
	s := &Store{endpoints: c.Endpoints}
	config := clientv3.Config{
		Endpoints: c.Endpoints,
		TLS:       c.TLS,
		Username:  c.User,
		Password:  c.Password,
		Logger:    zap.NewNop(),

		DialTimeout:          tryLimit, // of authentication
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: tryLimit,

		// A member that was down for long has to be found again before leases run out.
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: tryLimit,
		})},
	}
	var err error
	if s.etcd, err = clientv3.New(config); err != nil {
		return nil, s.Explain(err)
	}
	return s, nil
}

// Close ends the connection.
func (s *Store) Close() { s.etcd.Close() }

// Do makes a request, and tries again as long as no member answers, until ctx ends; but at least until
// each member had a chance. A write whose try got no answer can have been made, and can still be made later.
// The request must therefore have the same effect if it is made twice, or Do is not for it: see Once.
func (s *Store) Do(ctx context.Context, request func(context.Context) error) error {
	return s.try(ctx, len(s.endpoints), request)
}

// Within makes a request like Do, but not after ctx has ended.
func (s *Store) Within(ctx context.Context, request func(context.Context) error) error {
	return s.try(ctx, 0, request)
}

// try makes a request until ctx ends, but at least so many times.
func (s *Store) try(ctx context.Context, least int, request func(context.Context) error) error {
	var known silence
	for try := 1; ; try++ {
		err := s.once(ctx, try <= least, request)
		switch {
		case ctx.Err() == context.Canceled:
			return ctx.Err()
		case err == nil || !isSilence(err):
			return s.Explain(err)
		}
		if now := s.reason(err); now.isKnown || !known.isKnown {
			known = now
		}
		if ctx.Err() != nil && try >= least {
			if !known.isKnown {
				known = s.ask()
			}
			return known
		}
		time.Sleep(tryPause)
	}
}

// ask asks the connection why there is no answer. Requests wait until there is one, and do not know.
func (s *Store) ask() silence {
	ctx, cancel := context.WithTimeout(context.Background(), 10*tryPause)
	defer cancel()
	_, err := etcdserverpb.NewMaintenanceClient(s.etcd.ActiveConnection()).Status(ctx, &etcdserverpb.StatusRequest{})
	if err == nil {
		err = context.DeadlineExceeded // it answers, but too late
	}
	return s.reason(err)
}

// tryPause keeps tries that fail at once from using much of the machine.
const tryPause = 50 * time.Millisecond

// Once makes a request that must not be made twice. If Silent reports true for the error, it is not known
// whether it was made, or will be made yet.
func (s *Store) Once(ctx context.Context, request func(context.Context) error) error {
	return s.Explain(s.once(ctx, false, request))
}

// once makes one try. If it is made always, the deadline of ctx does not cut it short.
func (s *Store) once(ctx context.Context, always bool, request func(context.Context) error) error {
	parent := ctx
	if always {
		parent = context.WithoutCancel(ctx)
	}
	try, cancel := context.WithTimeout(parent, tryLimit)
	defer cancel()
	if always {
		defer context.AfterFunc(ctx, func() {
			if ctx.Err() == context.Canceled {
				cancel()
			}
		})()
	}
	return rpctypes.Error(request(try))
}

// A silence is the error of a request that no member has answered.
type silence struct {
	why     string
	isKnown bool // what the reason is
}

func (s silence) Error() string { return "etcd does not answer" + s.why }

// ErrSilent is a silence about which nothing is known. ErrBroken is that of a watch that has failed.
var (
	ErrSilent error = silence{}
	ErrBroken error = silence{why: " to a watch any more"}
)

// Silent reports whether no member has answered.
func Silent(err error) bool { return errors.As(err, new(silence)) }

// isSilence reports whether an error means that no member has answered, or could not. Another try may
// succeed.
func isSilence(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	switch code := status.Code(err); {
	case code == codes.Unavailable, code == codes.DeadlineExceeded, code == codes.Canceled, code == codes.Unknown && !isRefusal(err):
		return true
	case code == codes.ResourceExhausted:
		return errors.Is(rpctypes.Error(err), rpctypes.ErrTooManyRequests)
	}
	var answer rpctypes.EtcdError
	return errors.As(err, &answer) && answer.Code() == codes.Unavailable
}

// isRefusal reports whether an error is one of etcd's own, which another try gets too.
func isRefusal(err error) bool { return errors.As(err, new(rpctypes.EtcdError)) }

// ErrRefused means that this user may not do that.
var ErrRefused = errors.New("etcd refuses it")

// ErrFull means that the store takes no more data (--quota-backend-bytes).
var ErrFull = errors.New("the store of etcd is full")

// Explain makes a plain error of any error of the client.
func (s *Store) Explain(err error) error {
	var answer rpctypes.EtcdError
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(silence)):
		return err
	case isSilence(err):
		return s.reason(err)
	case errors.As(err, &answer):
		text := strings.TrimPrefix(answer.Error(), "etcdserver: ")
		switch {
		case errors.Is(err, rpctypes.ErrNoSpace):
			return fmt.Errorf("%w: %s", ErrFull, text)
		case answer.Code() == codes.PermissionDenied, answer.Code() == codes.Unauthenticated,
			errors.Is(err, rpctypes.ErrAuthFailed), errors.Is(err, rpctypes.ErrUserEmpty), errors.Is(err, rpctypes.ErrInvalidAuthToken):
			return fmt.Errorf("%w: %s", ErrRefused, text)
		}
		return refusal{"etcd says: " + text, err}
	}
	return err
}

// A refusal is another error of etcd's own.
type refusal struct {
	text string
	err  error
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.err }

// reason is a silence with what is known about it.
func (s *Store) reason(err error) silence {
	text := err.Error()
	if st, ok := status.FromError(err); ok {
		text = st.Message()
	}
	const last = "last connection error: "
	if _, why, ok := strings.Cut(text, last); ok {
		text = why
	}
	for _, noise := range []string{"latest balancer error: ", "connection error: desc = ", "transport: ", "error while dialing: ", "Error while dialing: ", "etcdserver: ", `\`, `"`} {
		text = strings.ReplaceAll(text, noise, "")
	}
	// The last is a member that has accepted the connection, and says nothing.
	if strings.HasPrefix(text, "context deadline exceeded") || strings.HasPrefix(text, "context canceled") ||
		strings.HasSuffix(text, "use of closed network connection") {
		return silence{why: " at " + strings.Join(s.endpoints, " ")}
	}
	return silence{": " + text, true}
}

// OldestVersion is the oldest version of etcd that keeps its promises about leases: earlier ones can revoke
// leases that are renewed (etcd issue 15247).
const OldestVersion = "3.5.13"

// Version returns the version of a member.
func (s *Store) Version(ctx context.Context) (version string, err error) {
	err = s.Do(ctx, func(ctx context.Context) error {
		answer, err := etcdserverpb.NewMaintenanceClient(s.etcd.ActiveConnection()).Status(ctx, &etcdserverpb.StatusRequest{}, grpc.WaitForReady(true))
		if err == nil {
			version = answer.Version
		}
		return err
	})
	return version, err
}

// IsOld reports whether a version of etcd is older than OldestVersion. One that is no version is not.
func IsOld(version string) bool {
	var have, want [3]int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &have[0], &have[1], &have[2]); n < 3 {
		return false
	}
	fmt.Sscanf(OldestVersion, "%d.%d.%d", &want[0], &want[1], &want[2])
	for i := range want {
		if have[i] != want[i] {
			return have[i] < want[i]
		}
	}
	return false
}

// Txn begins a transaction. Its Commit is for Do or Once.
func (s *Store) Txn(ctx context.Context) clientv3.Txn { return s.etcd.Txn(ctx) }

// watchLimit is how long the beginning of a watch may take.
const watchLimit = tryLimit

// Watch watches keys, and returns when etcd has confirmed that. The watch ends with ctx, which the caller has to
// end. The channel is closed, or has an error, when the watch fails: also when the member that serves it has no
// leader.
func (s *Store) Watch(ctx context.Context, key string, options ...clientv3.OpOption) (clientv3.WatchChan, error) {
	begun := make(chan clientv3.WatchChan, 1)
	go func() { // it blocks until there is a connection
		begun <- s.etcd.Watch(clientv3.WithRequireLeader(ctx), key, append(options, clientv3.WithCreatedNotify())...)
	}()
	limit := time.After(watchLimit)
	var events clientv3.WatchChan
	for {
		select {
		case events = <-begun:
			begun = nil
		case answer, ok := <-events:
			if !ok || answer.Err() != nil {
				return nil, s.watchError(answer.Err())
			}
			return events, nil
		case <-limit:
			return nil, silence{why: " to a watch"}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// watchError is the error of a watch that could not begin. Only a lack of rights does not go away by itself.
func (s *Store) watchError(err error) error {
	if err = s.Explain(rpctypes.Error(err)); errors.Is(err, ErrRefused) {
		return err
	}
	return silence{why: " to a watch"}
}

// Touch reads a key in an old revision. It returns an error if that does not exist any more.
func (s *Store) Touch(ctx context.Context, key string, revision int64) error {
	_, err := s.etcd.Get(ctx, key, clientv3.WithRev(revision), clientv3.WithCountOnly())
	return err
}

// Keys lists the keys with a prefix.
func (s *Store) Keys(ctx context.Context, prefix string) (list []string, err error) {
	err = s.Do(ctx, func(ctx context.Context) error {
		answer, err := s.etcd.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err != nil {
			return err
		}
		list = nil
		for _, kv := range answer.Kvs {
			list = append(list, string(kv.Key))
		}
		return nil
	})
	return list, err
}
