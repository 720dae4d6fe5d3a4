package replay

import (
	"strings"
	"testing"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/keys"
)

func TestAHistoryThatKeepsTheRulesIsAccepted(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 3, Delay: time.Second})
	h.apply(h.put(h.space.Pause(), "", 1))
	h.apply(h.jump(came(1), 0))
	h.apply(h.remove(h.space.Pause()))
	early, late := came(2), came(5)
	h.apply(h.join(late))
	h.apply(h.join(early))
	h.apply(h.take(late, 1)) // beside the one before it
	h.apply(h.hold(early, 2), h.b(), h.c(), h.leave(early))
	h.apply(h.put(h.space.Slot(2), keys.Encode(keys.Participant{Place: early.String(), Orphaned: true}), early.ID))
	h.apply(h.pool(keys.Pool{Size: 2}))

	all := keys.Place{Revision: 8, ID: 8, Weight: keys.Whole, Held: true}
	h.apply(h.join(all))
	h.apply(h.put(h.space.Waiter(all), `{"waits_for":"x"}`, all.ID))
	h.apply(h.free(0))
	h.apply(h.free(1), h.free(2))
	h.apply(h.take(all, 0, 1))

	lost := came(9)
	h.apply(h.join(lost))
	h.apply(h.d())
	h.apply(h.leave(lost))
	h.apply(h.join(lost)) // again, under its old name
	h.apply(h.remove(h.space.Drain()))
	h.apply(h.remove(h.space.Pool()))
	h.apply(h.free(0), h.free(1))
	h.apply(h.leave(lost))
	h.apply(h.pool(keys.Pool{Size: 1}))
	h.apply(h.jump(came(20), 0))

	want := Report{Revisions: int(h.next - 1), Takes: 5, Jumps: 2, Paused: 1, Joins: 5, MostHeld: 3, LongestLine: 2, LeasesEnded: 6, Held: 1}
	if r := h.state.Report(); r != want {
		t.Errorf("report\n%+v, want\n%+v", r, want)
	}
}

func TestAViolationShowsTheStateAndTheEvents(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.apply(h.jump(came(1), 0))
	h.apply(h.join(came(2)))
	text := h.try([]events{h.take(came(2), 0)}).Error()
	for _, part := range []string{"revision 4 of pool /x", "size 1", "slot 0: " + came(1).String(), "waiter: " + came(2).String(), "c: created at 2", "create h/0000", "delete w/"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in:\n%s", part, text)
		}
	}
}

func TestAViolationDoesNotChangeTheState(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	before := h.state.Report()
	h.wantViolation("does not put b", h.hold(came(1), 0))
	if r := h.state.Report(); r != before {
		t.Errorf("report %+v, before %+v", r, before)
	}
}
