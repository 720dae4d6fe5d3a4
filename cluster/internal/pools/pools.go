// Package pools keeps pools in etcd: their limit, their line, and those who hold slots.
//
// docs/cluster.md describes the protocol. Its invariant is that every change is one transaction of etcd,
// which either happens as a whole or not at all, and that whatever a process leaves behind hangs on a lease:
// wherever a process is killed, etcd is left with a state that other processes can go on from, and the lease
// ends what the process was.
//
// Read the files in this order: pools.go, view.go and take.go have the limit and the order; join.go, wait.go
// and acquire.go the line; holding.go what a holder does. manage.go, evict.go and status.go are for those
// who look after a pool.
package pools

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/keys"
	"github.com/poolrun/poolrun/cluster/internal/store"
	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/pool"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Pool is a pool in etcd. It need not exist.
type Pool struct {
	store *store.Store
	url   engine.URL
	space keys.Space
	local Local
}

// Local is what this process knows without etcd.
type Local struct {
	Host     string // the name of this machine
	User     string // of poolrun
	AllowOld bool   // use an etcd that is too old, in tests
}

// Open returns the pool of a URL.
func Open(s *store.Store, u engine.URL, local Local) *Pool {
	return &Pool{store: s, url: u, space: keys.Of(u.Name), local: local}
}

// fail is an error about the pool.
func (p *Pool) fail(kind error, cause error) error {
	return &pool.Error{Pool: p.url.String(), Kind: kind, Cause: cause}
}

// explain makes an error of package pool of any error, except of a context's.
func (p *Pool) explain(err error) error {
	kind := pool.ErrUnavailable
	switch {
	case err == nil || errors.As(err, new(*pool.Error)) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, store.ErrRefused):
		kind = pool.ErrPermission
	case errors.Is(err, store.ErrFull):
		kind = pool.ErrNoSpace
	}
	return p.fail(kind, err)
}

// record decodes the record of the pool.
func (p *Pool) record(value []byte) (keys.Pool, error) {
	record, err := keys.ReadPool(value)
	switch {
	case errors.Is(err, keys.ErrLayout):
		return record, p.fail(pool.ErrVersion, err)
	case err != nil:
		return record, p.fail(pool.ErrDamaged, err)
	}
	return record, nil
}

// isNoLease reports whether a transaction has failed because its lease does not exist.
func isNoLease(err error) bool { return errors.Is(err, rpctypes.ErrLeaseNotFound) }

// do commits a transaction that has the same effect if it is made twice.
func (p *Pool) do(ctx context.Context, txn func(clientv3.Txn) clientv3.Txn) (answer *clientv3.TxnResponse, err error) {
	err = p.store.Do(ctx, func(ctx context.Context) error {
		answer, err = txn(p.store.Txn(ctx)).Commit()
		return err
	})
	return answer, err
}

// once commits a transaction that must not be made twice. After an error for which store.Silent reports
// true, it may have been made, or may still be made later.
func (p *Pool) once(ctx context.Context, txn func(clientv3.Txn) clientv3.Txn) (answer *clientv3.TxnResponse, err error) {
	err = p.store.Once(ctx, func(ctx context.Context) error {
		answer, err = txn(p.store.Txn(ctx)).Commit()
		return err
	})
	return answer, err
}

// checkVersion returns an error if the cluster is too old.
func (p *Pool) checkVersion(ctx context.Context) error {
	if p.local.AllowOld {
		return nil
	}
	version, err := p.store.Version(ctx)
	if err == nil && store.IsOld(version) {
		err = fmt.Errorf("this is etcd %s, which can end leases that are renewed: etcd %s or later is needed", version, store.OldestVersion)
	}
	return p.explain(err)
}

// waiterLease is how long a waiter that has vanished stays in the line.
const waiterLease = 10 * time.Second

func isNotExist(err error) bool { return errors.Is(err, pool.ErrNotExist) }
