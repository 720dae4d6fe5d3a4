package pool

import (
	"context"
	"time"

	"github.com/poolrun/poolrun/internal/ledger"
)

// WaitIdle returns when nobody holds a slot and nobody waits for one, programs that share the
// semaphore included. It does not keep newcomers away: the pool may be in use again when it returns.
// It returns ctx's error if ctx is done earlier, and ErrDestroyed if the pool is destroyed while it is
// in use. Its caller does not stand in line, and only takes back what the dead have left.
func (p *Pool) WaitIdle(ctx context.Context) error {
	return p.use(func() error {
		ctx, cancel := p.untilClosed(ctx)
		defer cancel()
		ticker := time.NewTicker(scanInterval)
		defer ticker.Stop()
		for {
			idle, err := p.isIdle(ctx)
			if idle || err != nil {
				return err
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return cause(ctx)
			}
		}
	})
}

func (p *Pool) isIdle(ctx context.Context) (idle bool, err error) {
	if _, _, err := p.reapHolders(ctx, 0); err != nil {
		return false, err
	}
	err = p.update(ctx, 0, func() error {
		if err := p.reapLine(); err != nil {
			return err
		}
		if idle = !p.isUsed(); !idle && p.mem.Life.Load() != ledger.LifeAlive {
			return p.fail(ErrDestroyed)
		}
		return nil
	})
	return idle, err
}
