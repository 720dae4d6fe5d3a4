package pools

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/poolrun/poolrun/cluster/internal/keys"
)

// TestChosenSlotsLeaveRoom: the limit holds because of it. See "Why the limit holds" in docs/cluster.md.
func TestChosenSlotsLeaveRoom(t *testing.T) {
	takes := 0
	for range 100_000 {
		v := &view{record: keys.Pool{Size: 1 + rand.IntN(8)}, slots: map[int]bool{}}
		for slot := range 2 * v.record.Size { // after a shrink, slots above the size are held too
			v.slots[slot] = rand.IntN(4) == 0
			if !v.slots[slot] {
				delete(v.slots, slot)
			}
		}
		for range rand.IntN(3) {
			v.before = append(v.before, keys.Place{Weight: 1 + rand.IntN(2)})
		}
		me := keys.Place{Weight: 1 + rand.IntN(3)}
		if v.lacks(me) > 0 {
			continue
		}
		takes++
		chosen := v.choose(me.Weight)
		if len(chosen) != me.Weight {
			t.Fatalf("%+v: %v chosen, want %d slots", v, chosen, me.Weight)
		}
		highest, above := slices.Max(chosen), 0
		for slot := range v.slots {
			if slot > highest {
				above++
			}
		}
		if highest+1+above > v.record.Size {
			t.Fatalf("%+v: %v chosen", v, chosen)
		}
	}
	if takes < 1000 {
		t.Errorf("only %d views had room", takes)
	}
}
