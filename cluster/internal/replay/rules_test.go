package replay

import (
	"testing"

	"github.com/poolrun/poolrun/cluster/internal/keys"
)

// Each history breaks one rule with its last revision.

func TestATakeNeedsAPool(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.apply(h.remove(h.space.Pool()))
	h.wantViolation("no pool", h.jump(came(1), 0))
}

func TestAJoinNeedsAPool(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.apply(h.remove(h.space.Pool()))
	h.wantViolation("no pool", h.join(came(1)))
}

func TestAPoolIsCreatedOnlyAfterTheLastOneIsGone(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.apply(h.join(came(1)))
	h.apply(h.remove(h.space.Pool()))
	h.wantViolation("before all of the last one is gone", h.pool(keys.Pool{Size: 1}))
}

func TestTheSlotsOfATakeAreAlike(t *testing.T) {
	first, second := keys.Place{Revision: 1, ID: 1, Weight: 2}, keys.Place{Revision: 1, ID: 2, Weight: 2}
	h := newHistory(t, keys.Pool{Size: 2})
	h.wantViolation("has the place", h.hold(first, 0), h.hold(second, 1), h.b(), h.c())

	h = newHistory(t, keys.Pool{Size: 2})
	other := h.hold(first, 1)
	other[0].Kv.Lease = 7
	h.wantViolation("has the lease", h.hold(first, 0), other, h.b(), h.c())
}

func TestATakeIsOnALease(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.wantViolation("no lease", h.jump(keys.Place{Weight: 1}, 0))
}

func TestATakeHasTheSlotsOfItsWeight(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 3})
	h.wantViolation("it has 1 slots, and its weight is 2", h.jump(keys.Place{ID: 1, Weight: 2}, 0))

	h = newHistory(t, keys.Pool{Size: 3})
	h.wantViolation("it has 2 slots, and its weight is 3", h.jump(keys.Place{ID: 1, Weight: keys.Whole}, 0, 1))
}

func TestASlotIsBelowTheSize(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 2})
	h.apply(h.pool(keys.Pool{Size: 1}))
	h.wantViolation("slot 1 of 1", h.jump(came(1), 1))
}

func TestASlotIsTakenOnlyIfItIsFree(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 2})
	h.apply(h.jump(came(1), 0))
	delete(h.keys, h.space.Slot(0))
	h.wantViolation("exists already", h.jump(came(2), 0))
}

func TestATakerLeavesTheLine(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.apply(h.join(came(1)))
	h.wantViolation("stays in line", h.jump(came(1), 0))
}

func TestNobodyElseLeavesTheLineInATake(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 2})
	h.apply(h.join(came(1)))
	h.apply(h.join(came(2)))
	h.wantViolation("2 waiters leave", h.take(came(1), 0), h.leave(came(2)))

	h = newHistory(t, keys.Pool{Size: 1})
	h.apply(h.join(came(2)))
	h.wantViolation("leaves the line", h.jump(came(1), 0), h.leave(came(2)))
}

func TestATakePutsB(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.apply(h.join(came(1)))
	h.wantViolation("does not put b", h.hold(came(1), 0), h.leave(came(1)))
}

func TestAJumpPutsC(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.wantViolation("does not put c", h.hold(came(1), 0), h.b())
}

func TestATakerThatJoinedAheadOfOthersPutsC(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 3})
	h.apply(h.join(came(1)))
	h.apply(h.join(came(2)))
	h.apply(h.take(came(1), 0)) // the other came later
	h.apply(h.join(came(1)))    // it is a waiter that came before
	h.apply(h.take(came(2), 1))
	h.wantViolation("does not put c", h.take(came(1), 2))
}

func TestSlotsAboveTheSizeCountAfterAShrink(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 3})
	h.apply(h.jump(came(1), 2))
	h.apply(h.jump(came(2), 1))
	h.apply(h.pool(keys.Pool{Size: 2}))
	h.wantViolation("2 slots held", h.jump(came(3), 0))
}

func TestATakeLeavesSlotsForThoseBefore(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 2})
	h.apply(h.join(keys.Place{Revision: 1, ID: 1, Weight: 2}))
	h.apply(h.join(came(2)))
	h.wantViolation("2 kept", h.take(came(2), 0))

	h = newHistory(t, keys.Pool{Size: 2})
	h.apply(h.join(keys.Place{Revision: 1, ID: 1, Weight: keys.Whole}))
	h.wantViolation("2 kept", h.jump(came(2), 0))
}

func TestNobodyPassesAWaiterThatIsHeld(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 2})
	h.apply(h.join(keys.Place{Revision: 1, ID: 1, Weight: 1, Held: true}))
	h.wantViolation("nobody may pass", h.jump(came(2), 0))
}

func TestNobodyJoinsWhileThePoolDrains(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.apply(h.d())
	h.wantViolation("drains since revision 2", h.join(came(2)))
}

func TestNobodyJumpsWhileThePoolDrains(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.apply(h.d())
	h.wantViolation("jumps while the pool drains", h.jump(came(1), 0))
}

func TestNobodyComesAtARevisionThatIsToCome(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.wantViolation("came at revision 3", h.join(came(3)))
}

func TestAKeyChangesOnceInARevision(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.apply(h.join(came(1)))
	h.wantViolation("changed twice", h.leave(came(1)), h.join(came(1)))
}

func TestAWaiterIsResumedOnAnotherLease(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.apply(h.join(came(1)))
	h.apply(h.join(came(2)))
	h.apply(h.put(h.space.Waiter(came(1)), "{}", 7))
	h.wantViolation("does not put c", h.leave(came(1)), h.hold(came(1), 0), h.b())
}

func TestTheLeaseOfAHolderDoesNotChange(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.apply(h.jump(came(1), 0))
	other := h.hold(came(1), 0)
	other[0].Kv.Lease = 7
	h.wantViolation("is changed", other)
}

func TestThePlaceOfAHolderDoesNotChange(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.apply(h.jump(came(1), 0))
	h.wantViolation("is changed", h.hold(keys.Place{Revision: 2, ID: came(1).ID, Weight: 1}, 0))
}

func TestAGapInTheHistoryIsSeen(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.wantViolation("does not exist", h.free(0))
	h.wantViolation("does not exist", h.leave(came(1)))
	b := h.b()
	b[0].Kv.Version = 3
	h.wantViolation("b has version 3, and had version 0", h.hold(came(1), 0), b, h.c())
}

func TestKeysAndRecordsAreThoseOfPoolrun(t *testing.T) {
	h := newHistory(t, keys.Pool{Size: 1})
	h.wantViolation("poolrun has not written it", h.put(h.space.Slots()+"0", "{}", 1))
	h.wantViolation("poolrun has not written it", h.put(h.space.Line()+"x", "{}", 1))
	h.wantViolation("the place in", h.put(h.space.Slot(0), "{}", 1))
	h.wantViolation("its record", h.put(h.space.Pool(), "{", 0))
}
