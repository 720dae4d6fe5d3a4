package engine

import (
	"fmt"
	"testing"
)

// What the engine reports before its grant has been read is not lost, and what an earlier engine has reported is.
func TestEventsBeforeTheGrantAreNotLost(t *testing.T) {
	p := &Pool{}
	p.event(Event{Safe: 1, Place: "a"})
	p.event(Event{Lost: "gone"})
	l := p.newLease(Grant{Nested: true}, 0)
	p.event(Event{Ended: true})
	var told []string
	l.Watch(Watcher{
		Safe: func(until int64) { told = append(told, fmt.Sprint(until)) },
		Lost: func(why string) { told = append(told, why) },
	})
	if want := "[1 gone]"; fmt.Sprint(told) != want || !l.IsEnded() || p.wish.Place != "a" {
		t.Errorf("the watcher is told %v instead of %s; %+v", told, want, l)
	}
	l.Watch(Watcher{}) // of a command that is kept
}
