package ledger

import (
	"sync/atomic"
	"time"
)

// WaitLimits are the upper bounds of the histogram of waits. A last bucket, for all longer waits,
// follows from CountAcquired.
var WaitLimits = [...]time.Duration{
	time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond,
	time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour,
}

// Waits says how long participants waited that got their slots. Unlike a counter it can miss a
// participant that died in the change.
type Waits struct {
	Sum, Max atomic.Uint64 // nanoseconds
	Buckets  [len(WaitLimits)]atomic.Uint64
}

// Observe adds a wait.
func (w *Waits) Observe(d time.Duration) {
	w.Sum.Add(uint64(d))
	if uint64(d) > w.Max.Load() {
		w.Max.Store(uint64(d))
	}
	for i, limit := range WaitLimits {
		if d <= limit {
			w.Buckets[i].Add(1)
			return
		}
	}
}
