package ledger

import (
	"sync/atomic"
	"time"
)

// TimeLimits are the upper bounds of the histograms of times. A last bucket, for all longer times,
// follows from Count.
var TimeLimits = [...]time.Duration{
	time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond,
	time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 10 * time.Hour,
}

// Times is a histogram of how long something took. Unlike a counter it can miss a participant that
// died in the change.
type Times struct {
	Sum, Max atomic.Uint64 // nanoseconds
	Count    atomic.Uint64
	Buckets  [len(TimeLimits)]atomic.Uint64
}

// Observe adds a time. It is bare Go.
func (t *Times) Observe(d time.Duration) {
	t.Sum.Add(uint64(d))
	if uint64(d) > t.Max.Load() {
		t.Max.Store(uint64(d))
	}
	t.Count.Add(1)
	for i, limit := range TimeLimits {
		if d <= limit {
			t.Buckets[i].Add(1)
			return
		}
	}
}
