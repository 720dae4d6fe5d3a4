package pool

import (
	"sync/atomic"
	"time"
)

// waitLimits are the upper bounds of the histogram of waits; a last bucket, for
// all longer waits, follows from the counter of the acquired.
var waitLimits = [...]time.Duration{
	time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond,
	time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour,
}

// waitStats tell how long those who got their slots had waited. Unlike the
// counters they can miss one whose author died in the change.
type waitStats struct {
	sum, max atomic.Uint64 // nanoseconds
	buckets  [len(waitLimits)]atomic.Uint64
}

func (w *waitStats) observe(d time.Duration) {
	w.sum.Add(uint64(d))
	if uint64(d) > w.max.Load() {
		w.max.Store(uint64(d))
	}
	for i, limit := range waitLimits {
		if d <= limit {
			w.buckets[i].Add(1)
			return
		}
	}
}
