package pool

import (
	"fmt"
	"time"
)

// What the first in line waits for beside slots: the conditions of its own request, and the delay of
// the pool. They hold the first in line, and nobody overtakes it. While it could have its slots and
// waits for a condition, its record says for which.

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

// describeDelay says what the pool's delay makes a request wait for.
func (p *Pool) describeDelay() string { return fmt.Sprintf("%v between two starts", p.mem.Delay()) }

// A waitsFor is the cause of an error of a request that has to wait for this, and not for slots.
type waitsFor struct {
	text string
	end  error // what has ended the wait, if anything
}

func (w waitsFor) Error() string { return "it waits for " + w.text }
func (w waitsFor) Unwrap() error { return w.end }
