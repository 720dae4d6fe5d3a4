package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Checker follows a pool from its creation on, and checks each of its revisions. It relies on what etcd
// tells of the progress of a watch, which etcd before 3.5.13 may tell too early (its issues 15220 and
// 17507): then Stop can miss the last revisions.
type Checker struct {
	client *clientv3.Client
	state  *State
	next   int64        // the first revision that it has not seen
	until  atomic.Int64 // it has to see no more than this revision; 0 for no end
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when it does not follow any more
	err    error         // why not, once it is done
}

const (
	// limit is how long Follow and Stop wait for etcd.
	limit = time.Minute
	// patience is how long one member may take to answer.
	patience = 3 * time.Second
	// askInterval is how often a watch asks how far it is.
	askInterval = 100 * time.Millisecond
)

var (
	errUsed      = errors.New("it is in use already")
	errCompacted = errors.New("its history was compacted before it was read")
	errTooLate   = fmt.Errorf("etcd does not tell all that has happened within %v", limit)
)

// Follow starts to follow a pool, whose name begins with a slash, and returns when the checker will see
// every revision that comes. The pool may exist, but must not have holders and waiters. The checker goes
// on, through failures of etcd's members too, until Stop is called or ctx is done.
func Follow(ctx context.Context, client *clientv3.Client, name string) (*Checker, error) {
	c := &Checker{client: client, state: NewState(name), done: make(chan struct{})}
	if err := c.load(ctx); err != nil {
		return nil, c.explain(err)
	}
	ctx, c.cancel = context.WithCancelCause(ctx)
	established := make(chan struct{}, 1)
	go func() {
		defer close(c.done)
		c.err = c.follow(ctx, established)
	}()
	select {
	case <-established:
		return c, nil
	case <-c.done:
	case <-time.After(limit):
	}
	c.cancel(errTooLate)
	<-c.done
	return nil, c.explain(c.err)
}

// Done is closed at the first violation, and when the checker cannot go on.
func (c *Checker) Done() <-chan struct{} { return c.done }

// Stop returns what has happened to the pool, after the checker has seen all that happened before Stop
// was called. The error is a *Violation if a rule was broken.
func (c *Checker) Stop() (Report, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	go func() {
		<-c.done
		cancel()
	}()
	c.until.Store(c.revision(ctx))
	<-ctx.Done()
	c.cancel(errTooLate)
	<-c.done
	return c.state.Report(), c.explain(c.err)
}

// load reads the pool as it is.
func (c *Checker) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	all, err := c.client.Get(ctx, c.state.space.All(), clientv3.WithPrefix())
	if err != nil {
		return err
	}
	c.next = all.Header.Revision + 1
	var events []*clientv3.Event
	for _, kv := range all.Kvs {
		key := string(kv.Key)
		if strings.HasPrefix(key, c.state.space.Slots()) || strings.HasPrefix(key, c.state.space.Line()) {
			return errUsed
		}
		events = append(events, &clientv3.Event{Type: clientv3.EventTypePut, Kv: kv})
	}
	return c.state.Apply(all.Header.Revision, events)
}

// follow sees one revision after the other, with one watch after the other.
func (c *Checker) follow(ctx context.Context, established chan<- struct{}) error {
	for !c.isAtEnd() {
		if err := c.watch(ctx, established); err != nil {
			return err
		}
	}
	return nil
}

func (c *Checker) isAtEnd() bool {
	until := c.until.Load()
	return until != 0 && c.next > until
}

// watch returns nil at the end and when another watch has to go on: because etcd has ended this one, or
// because its member has been silent for too long.
func (c *Checker) watch(parent context.Context, established chan<- struct{}) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(parent))
	defer cancel()
	silence := time.AfterFunc(patience, cancel)
	defer silence.Stop()
	ask := time.NewTicker(askInterval)
	defer ask.Stop()
	watcher := clientv3.NewWatcher(c.client)
	defer watcher.Close()
	responses := watcher.Watch(ctx, c.state.space.All(), clientv3.WithPrefix(), clientv3.WithRev(c.next), clientv3.WithCreatedNotify())
	for !c.isAtEnd() {
		select {
		case r, ok := <-responses:
			if !ok {
				<-ask.C // so that watches that end at once do not follow each other too fast
				return context.Cause(parent)
			}
			silence.Reset(patience)
			if err := c.see(r); err != nil {
				return err
			}
			if r.Created {
				select {
				case established <- struct{}{}:
				default:
				}
			}
		case <-ask.C:
			watcher.RequestProgress(ctx) // fails only if the watch ends
		}
	}
	return nil
}

// see applies a response. One that only tells the progress says that nothing has happened up to its
// revision that the watch has not told.
func (c *Checker) see(r clientv3.WatchResponse) error {
	if r.CompactRevision != 0 {
		return errCompacted
	}
	for events := r.Events; len(events) > 0; {
		number := events[0].Kv.ModRevision
		n := slices.IndexFunc(events, func(e *clientv3.Event) bool { return e.Kv.ModRevision != number })
		if n < 0 {
			n = len(events)
		}
		if err := c.state.Apply(number, events[:n]); err != nil {
			return err
		}
		events, c.next = events[n:], number+1
	}
	if r.IsProgressNotify() {
		c.next = max(c.next, r.Header.Revision+1)
	}
	return nil
}

// revision returns the present revision of etcd, 0 if it cannot be read before ctx is done.
func (c *Checker) revision(ctx context.Context) int64 {
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, patience)
		r, err := c.client.Get(attempt, c.state.space.Pool(), clientv3.WithCountOnly())
		cancel()
		if err == nil {
			return r.Header.Revision
		}
		select {
		case <-time.After(askInterval):
		case <-ctx.Done():
		}
	}
	return 0
}

// explain says which pool could not be followed. A violation says it itself.
func (c *Checker) explain(err error) error {
	if _, violates := errors.AsType[*Violation](err); violates || err == nil {
		return err
	}
	return fmt.Errorf("cannot follow pool %s: %w", c.state.name, err)
}
