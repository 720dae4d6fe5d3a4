package engine

import (
	"fmt"
	"testing"
	"time"
)

func TestALostSlotDoesNotBecomeSafeAgain(t *testing.T) {
	l := &Lease{}
	var told []string
	l.note(Event{Safe: 1}) // before anybody watches
	l.Watch(Watcher{
		Safe: func(int64) { told = append(told, "safe") },
		Lost: func(why string) { told = append(told, why) },
	})
	l.note(Event{Safe: 2})
	l.note(Event{Lost: "gone"})
	l.note(Event{Safe: 3})
	if want := "[safe safe gone]"; fmt.Sprint(told) != want || l.lost == "" {
		t.Errorf("the watcher is told %v instead of %s", told, want)
	}
}

// Between two renewals, a third of the term passes. So SIGTERM must not come earlier after a renewal than two
// thirds of it, and there is always time between SIGTERM and SIGKILL unless the term leaves none.
func TestAnUltimatumLeavesTimeForRenewals(t *testing.T) {
	for _, term := range []time.Duration{5 * time.Second, time.Minute, 24 * time.Hour} {
		for _, killAfter := range []time.Duration{0, time.Second, 10 * time.Second, time.Hour} {
			terminate, kill := Grant{Term: term, KillAfter: killAfter}.Ultimatum(int64(term))
			if time.Duration(terminate) < term*2/3 || terminate > kill {
				t.Errorf("term %v, --kill-after %v: SIGTERM after %v, SIGKILL after %v",
					term, killAfter, time.Duration(terminate), time.Duration(kill))
			}
			if margin := term - time.Duration(kill); margin < time.Second || margin < term/1000 {
				t.Errorf("term %v: SIGKILL %v before its end", term, margin)
			}
		}
	}
}
