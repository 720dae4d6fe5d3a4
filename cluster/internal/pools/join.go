package pools

import (
	"context"
	"math"

	"github.com/poolrun/poolrun/cluster/internal/keys"
	"github.com/poolrun/poolrun/pool"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// join puts the participant's key into the line, on its lease as a waiter, and returns what was there just
// before. It may be made twice, and again: the key stays where it is, and so does the place in line if the
// key had vanished with an earlier lease. made is the revision that made the pool.
//
// It returns ErrDestroyed, ErrDraining, or what look returns.
func (p *participant) join(ctx context.Context, made int64) (*view, error) {
	conditions := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(p.space.Pool()), "=", made)}
	if !p.hasStood {
		conditions = append(conditions, clientv3.Compare(clientv3.CreateRevision(p.space.Drain()), "=", 0))
	}
	operations := append(p.lookOps(p.key()),
		clientv3.OpPut(p.key(), keys.Encode(p.record), clientv3.WithLease(p.waiter.ID)),
		clientv3.OpGet(p.key()+"\x00", clientv3.WithRange(clientv3.GetPrefixRangeEnd(p.space.Line())), clientv3.WithLimit(1), clientv3.WithKeysOnly()),
	)
	answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.If(conditions...).Then(operations...).Else(p.lookOps(p.key())...)
	})
	if err != nil {
		return nil, p.explain(err)
	}
	v, err := p.read(answer)
	switch {
	case isNotExist(err):
		return nil, p.fail(pool.ErrDestroyed, nil)
	case err != nil:
		return nil, err
	case !answer.Succeeded && v.made == made:
		return nil, p.fail(pool.ErrDraining, nil)
	case !answer.Succeeded:
		return nil, p.fail(pool.ErrDestroyed, nil)
	}
	if v.own == 0 {
		v.own = answer.Header.Revision
	}
	p.joined, p.hasStood = v.own, true
	p.jumps = p.jumps || len(keysOf(answer, len(operations)-1)) > 0
	return v, nil
}

// countBefore returns how many of the waiters joined before this one did, wherever they stand in line. (A
// count alone would not be of these only.)
func (p *participant) countBefore(ctx context.Context) (n int, err error) {
	answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.Then(clientv3.OpGet(p.space.Line(), clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithMaxCreateRev(p.joined-1)))
	})
	if err != nil {
		return 0, p.explain(err)
	}
	return len(keysOf(answer, 0)), nil
}

// recentRevisions is how far back the waiters right before one are looked for, in the revisions at which they
// came.
const recentRevisions = 256

// outpost returns the key that is as many places before the participant's own as it may have before it to be near,
// "" if there are fewer. etcd reads a whole range to return its end, so the end of the line is looked for first among
// those who came not long before.
func (p *participant) outpost(ctx context.Context, breadth int) (key string, err error) {
	from := p.space.Came(p.place.Priority, max(p.place.Revision-recentRevisions, 0))
	answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.Then(clientv3.OpGet(from, clientv3.WithRange(p.key()), clientv3.WithKeysOnly()))
	})
	if err != nil {
		return "", p.explain(err)
	}
	if list := keysOf(answer, 0); len(list) >= breadth {
		return string(list[len(list)-breadth].Key), nil
	}
	answer, err = p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.Then(clientv3.OpGet(p.space.Line(), clientv3.WithRange(p.key()), clientv3.WithKeysOnly(),
			clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend), clientv3.WithLimit(int64(breadth))))
	})
	if err != nil {
		return "", p.explain(err)
	}
	if list := keysOf(answer, 0); len(list) == breadth {
		return string(list[breadth-1].Key), nil
	}
	return "", nil
}

// endOfClass is a key behind all waiters that a newcomer with a priority finds before it.
func (p *Pool) endOfClass(priority int) string { return p.space.Came(priority, math.MaxInt64) }
