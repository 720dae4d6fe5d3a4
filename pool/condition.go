package pool

import (
	"fmt"
	"time"
)

// What a request waits for beside slots.
//
// The conditions of its own request, and the delay of the pool, hold the first in line, and nobody
// overtakes it. While it could have its slots and waits for a condition, its record says for which.
//
// A long-lived request is held back while others have to keep a slot (ledger/turns.go), and all but
// other long-lived requests overtake it.

// A condition has to be met before a request gets its slots.
type condition struct {
	text  string
	isMet func() bool
}

// WithCondition holds the request at the head of the line until isMet returns true. text says in a few
// words what is waited for, like "4 GB of free memory", and Status shows its beginning. isMet is
// called when the request comes and whenever it looks whether it can have its slots, and at least once
// a second while only the condition holds it. It must return soon. If it panics, the request leaves
// the line. With several conditions, all have to be met.
func WithCondition(text string, isMet func() bool) Option {
	return func(r request) request {
		r.conditions = append(r.conditions[:len(r.conditions):len(r.conditions)], condition{text, isMet})
		return r
	}
}

// conditionInterval is how often a condition is checked.
const conditionInterval = time.Second

// unmetCondition returns the text of a condition that is not met, "" if all are.
func (r request) unmetCondition() string {
	for _, c := range r.conditions {
		if !c.isMet() {
			return c.text
		}
	}
	return ""
}

// LongLived says that the slots will be held for long, as the first slot of a build is. Then the request
// waits until it leaves at least one slot that no such lease holds, unless there is no such lease. So
// there is always a slot that soon becomes free for others, who are served before it.
func LongLived() Option {
	return func(r request) request { r.longLived = true; return r }
}

// heldBack is what a long-lived request waits for that is held back.
const heldBack = "another build to end"

// heldBack says what a long-lived request has to wait for before it can have free slots, "" for nothing.
func (c *core) heldBack(req request, weight int) string {
	if req.longLived && c.mem.IsHeldBack(weight) {
		return heldBack
	}
	return ""
}

// describeDelay says what the pool's delay makes a request wait for.
func (p *Pool) describeDelay() string { return fmt.Sprintf("%v between two starts", p.mem.Delay()) }

// A waitsFor is the cause of an error of a request that has to wait for this, and not for slots.
type waitsFor struct {
	text string
	end  error // what has ended the wait, if anything
}

func (w waitsFor) Error() string { return "it waits for " + w.text }
func (w waitsFor) Unwrap() error { return w.end }
