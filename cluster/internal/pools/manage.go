package pools

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/keys"
	"github.com/poolrun/poolrun/cluster/internal/store"
	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/pool"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Create makes a pool that does not exist yet. It returns ErrExist if there is one, or ErrInvalid.
func (p *Pool) Create(ctx context.Context, c engine.Config) error {
	record := keys.Pool{Layout: keys.Layout, Size: c.Size, Lease: c.Lease, Keep: c.Keep, Items: c.Items, Delay: c.Delay, Created: time.Now().UTC()}
	if record.Size == 0 {
		record.Size = len(c.Items)
	}
	if record.Lease == 0 {
		record.Lease = keys.DefaultLease
	}
	invalid := func(what, why string) error {
		return &pool.Error{Pool: what, Kind: pool.ErrInvalid, Cause: errors.New(why)}
	}
	switch {
	case record.Size < 1 || record.Size > pool.MaxSlots:
		return invalid(fmt.Sprintf("size %d", record.Size), fmt.Sprintf("a pool has 1 to %d slots", pool.MaxSlots))
	case len(c.Items) != 0 && len(c.Items) != record.Size:
		return invalid("items", fmt.Sprintf("there are %d for %d slots", len(c.Items), record.Size))
	case record.Lease < keys.MinLease || record.Lease > keys.MaxLease:
		return invalid(fmt.Sprintf("lease %v", record.Lease), fmt.Sprintf("a lease is %v to %v", keys.MinLease, keys.MaxLease))
	case record.Delay < 0 || record.Delay > pool.MaxDelay:
		return invalid(fmt.Sprintf("delay %v", record.Delay), "a delay is 0 to 366 days")
	}
	for _, item := range c.Items {
		if len(item) > pool.MaxItemBytes {
			return invalid(fmt.Sprintf("item %q", item), fmt.Sprintf("it is longer than %d bytes", pool.MaxItemBytes))
		}
	}
	if err := p.checkVersion(ctx); err != nil {
		return err
	}
	value := keys.Encode(record)
	answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.If(clientv3.Compare(clientv3.CreateRevision(p.space.All()).WithPrefix(), "=", 0)).
			Then(clientv3.OpPut(p.space.Pool(), value), clientv3.OpPut(keys.Entry(p.url.Name), "")).
			Else(clientv3.OpGet(p.space.Pool()))
	})
	switch {
	case err != nil:
		return p.explain(err)
	case answer.Succeeded:
		return nil
	}
	for _, kv := range keysOf(answer, 0) {
		if string(kv.Value) == value { // by an earlier try of this request
			return nil
		}
	}
	return p.fail(pool.ErrExist, nil)
}

// Resize gives the pool another size, as pool.Resize does.
func (p *Pool) Resize(ctx context.Context, size int) error {
	if size < 0 || size > pool.MaxSlots {
		return &pool.Error{Pool: fmt.Sprintf("size %d", size), Kind: pool.ErrInvalid, Cause: fmt.Errorf("want 0 to %d", pool.MaxSlots)}
	}
	for {
		v, err := p.look(ctx, p.space.Line())
		if err != nil {
			return err
		}
		if v.record.Size == size {
			return nil
		}
		v.record.Size = size
		answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
			return txn.If(clientv3.Compare(clientv3.ModRevision(p.space.Pool()), "=", v.changed)).
				Then(clientv3.OpPut(p.space.Pool(), keys.Encode(v.record)))
		})
		if err != nil || answer.Succeeded {
			return p.explain(err)
		}
	}
}

// Destroy removes a pool that is not in use. It returns ErrInUse if anybody holds a slot or waits for one.
func (p *Pool) Destroy(ctx context.Context) error {
	made := int64(0)
	for r := p.removal(); ; {
		v, err := p.look(ctx, p.endOfLine())
		switch {
		case err != nil:
			return r.explain(err)
		case made != 0 && v.made != made:
			return r.explain(p.fail(pool.ErrDestroyed, nil))
		}
		made = v.made
		if len(v.slots) > 0 || len(v.before) > 0 {
			return p.fail(pool.ErrInUse, nil)
		}
		if done, err := r.try(ctx, v); done || err != nil {
			return err
		}
	}
}

// endOfLine is a key behind all waiters.
func (p *Pool) endOfLine() string { return clientv3.GetPrefixRangeEnd(p.space.Line()) }

// A removal removes a pool. If the answer to a try gets lost, it can have been this removal that the next try sees.
type removal struct {
	*Pool
	tries int
}

func (p *Pool) removal() *removal { return &removal{Pool: p} }

// commit removes the pool if some conditions hold.
func (r *removal) commit(ctx context.Context, conditions ...clientv3.Cmp) (*clientv3.TxnResponse, error) {
	return r.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		r.tries++
		return txn.If(conditions...).
			Then(clientv3.OpDelete(r.space.All(), clientv3.WithPrefix()), clientv3.OpDelete(keys.Entry(r.url.Name)))
	})
}

// try removes the pool if nothing has begun in it since a view.
func (r *removal) try(ctx context.Context, v *view) (done bool, err error) {
	r.tries = 0
	answer, err := r.commit(ctx,
		clientv3.Compare(clientv3.CreateRevision(r.space.Pool()), "=", v.made),
		clientv3.Compare(clientv3.CreateRevision(r.space.Slots()).WithPrefix(), "=", 0),
		clientv3.Compare(clientv3.CreateRevision(r.space.Line()).WithPrefix(), "=", 0),
	)
	if err != nil {
		return false, r.Pool.explain(err)
	}
	return answer.Succeeded, nil
}

// explain is the error of a removal: none if the pool does not exist, and may have been removed by this one.
func (r *removal) explain(err error) error {
	if r.tries > 1 && (isNotExist(err) || errors.Is(err, pool.ErrDestroyed)) {
		return nil
	}
	return r.Pool.explain(err)
}

// ForceDestroy removes a pool even if it is in use, or damaged. Holders are not disturbed, and waiters get
// ErrDestroyed.
func (p *Pool) ForceDestroy(ctx context.Context) error {
	r := p.removal()
	answer, err := r.commit(ctx)
	if err != nil {
		return r.explain(err)
	}
	deleted := int64(0)
	for i := range answer.Responses {
		deleted += answer.Responses[i].GetResponseDeleteRange().Deleted
	}
	if deleted == 0 {
		return r.explain(p.fail(pool.ErrNotExist, nil))
	}
	return nil
}

// WaitIdle returns when nobody holds a slot and nobody waits for one. It returns ErrDestroyed if the pool is
// destroyed meanwhile.
func (p *Pool) WaitIdle(ctx context.Context) error {
	_, err := p.waitIdle(ctx, new(int64))
	return err
}

// waitIdle waits until the pool is idle that was made in a revision; 0: in any, which it stores then.
func (p *Pool) waitIdle(ctx context.Context, made *int64) (*view, error) {
	for {
		v, err := p.waitIdleOnce(ctx, made)
		switch {
		case v != nil:
			return v, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case isNotExist(err) && *made != 0:
			return nil, p.fail(pool.ErrDestroyed, nil)
		case err != nil && (*made == 0 || !store.Silent(err)):
			return nil, err
		case err != nil:
			sleep(ctx, tryAgain)
		}
	}
}

// waitIdleOnce waits with one watch, until it fails.
func (p *Pool) waitIdleOnce(ctx context.Context, made *int64) (*view, error) {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	var events clientv3.WatchChan
	for {
		v, err := p.firstLook(ctx, *made == 0)
		switch {
		case err != nil:
			return nil, err
		case *made != 0 && *made != v.made:
			return nil, p.fail(pool.ErrDestroyed, nil)
		case len(v.slots) == 0 && len(v.before) == 0:
			return v, nil
		}
		if *made = v.made; events == nil { // then look again: nothing is missed
			if events, err = p.store.Watch(watching, p.space.All(), clientv3.WithPrefix(), clientv3.WithFilterPut()); err != nil {
				return nil, p.explain(err)
			}
			continue
		}
		select {
		case answer, ok := <-events:
			if !ok || answer.Err() != nil {
				return nil, nil
			}
		case <-time.After(nearInterval):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// firstLook looks at the whole pool. Only the first look has a limit.
func (p *Pool) firstLook(ctx context.Context, isFirst bool) (*view, error) {
	if isFirst {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, ManageLimit)
		defer cancel()
	}
	return p.look(ctx, p.endOfLine())
}

// ManageLimit is how long a request may take that only manages a pool, and the beginning of one that waits.
const ManageLimit = 4 * time.Second

// Drain refuses newcomers, waits until the pool is idle, and destroys it. If ctx ends earlier, and also if
// this process dies, newcomers are admitted again. It returns ErrDraining if another process drains the
// pool already.
//
// If its lease runs out because etcd cannot be reached, it drains the pool again as soon as it can.
func (p *Pool) Drain(ctx context.Context) error {
	r, made := p.removal(), int64(0)
	for {
		err := p.drainOnce(ctx, r, &made)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errDrainLost):
		case made != 0 && (store.Silent(err) || errors.Is(err, pool.ErrDraining)): // which may be by its own last try
			sleep(ctx, tryAgain)
		case made != 0 && isNotExist(err):
			return r.explain(p.fail(pool.ErrDestroyed, nil))
		default:
			return r.explain(err)
		}
	}
}

// errDrainLost means that the lease of a drain has run out.
var errDrainLost = errors.New("newcomers are admitted again")

// drainOnce drains the pool with one lease. made is as in waitIdle.
func (p *Pool) drainOnce(ctx context.Context, r *removal, made *int64) error {
	first, cancel := context.WithTimeout(ctx, ManageLimit)
	defer cancel()
	lease, err := p.store.Grant(first, waiterLease)
	if err != nil {
		return p.explain(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanUpLimit)
		defer cancel()
		lease.Revoke(ctx)
	}()
	if err := p.beginDrain(first, lease.ID); err != nil {
		return err
	}
	draining, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-lease.Gone():
			stop()
		case <-draining.Done():
		}
	}()
	for {
		v, err := p.waitIdle(draining, made)
		if lease.IsGone() {
			return errDrainLost
		}
		if err != nil {
			return err
		}
		if done, err := r.try(ctx, v); done || err != nil {
			return err
		}
	}
}

// beginDrain refuses newcomers for as long as a lease lasts.
func (p *Pool) beginDrain(ctx context.Context, lease clientv3.LeaseID) error {
	answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.If(
			clientv3.Compare(clientv3.CreateRevision(p.space.Pool()), ">", 0),
			clientv3.Compare(clientv3.CreateRevision(p.space.Drain()), "=", 0),
		).Then(clientv3.OpPut(p.space.Drain(), keys.Encode(keys.Participant{Host: p.local.Host, PID: os.Getpid()}), clientv3.WithLease(lease))).
			Else(clientv3.OpGet(p.space.Pool()), clientv3.OpGet(p.space.Drain()))
	})
	switch {
	case err != nil:
		return p.explain(err)
	case answer.Succeeded:
		return nil
	case len(keysOf(answer, 0)) == 0:
		return p.fail(pool.ErrNotExist, nil)
	}
	for _, kv := range keysOf(answer, 1) {
		if clientv3.LeaseID(kv.Lease) == lease { // by an earlier try of this request
			return nil
		}
	}
	return p.fail(pool.ErrDraining, nil)
}
