package ledger

import (
	"testing"
	"unsafe"
)

// The ledger is shared with every program of the same Version. A change of a number here needs another
// Version: see "Versions of the layout" in docs/design.md.
func TestLayoutIsFixed(t *testing.T) {
	var l Ledger
	var rec Participant
	for what, sizes := range map[string][2]uintptr{
		"inUse":        {unsafe.Offsetof(l.inUse), 48},
		"first":        {unsafe.Offsetof(l.first), 56},
		"intent":       {unsafe.Offsetof(l.intent), 248},
		"sleepers":     {unsafe.Offsetof(l.sleepers), 288},
		"pace":         {unsafe.Offsetof(l.pace), 296},
		"delay":        {unsafe.Offsetof(l.delay), 304},
		"holds":        {unsafe.Offsetof(l.Holds), 320},
		"arrivals":     {unsafe.Offsetof(l.Arrivals), 416},
		"holders":      {unsafe.Offsetof(l.holders), 4096},
		"items":        {unsafe.Offsetof(l.items), 4096 + 4*4096},
		"participants": {unsafe.Offsetof(l.participants), 4096 + 4*4096 + 128*4096},
		"ledger":       {unsafe.Sizeof(l), 4096 + 4*4096 + 128*4096 + 320*8192},
		"participant":  {unsafe.Sizeof(rec), 320},
		"bell":         {unsafe.Offsetof(rec.Bell), 92},
		"whole":        {unsafe.Offsetof(rec.Whole), 256},
		"extends":      {unsafe.Offsetof(rec.Extends), 304},
		"longLived":    {unsafe.Offsetof(rec.LongLived), 312},
	} {
		if sizes[0] != sizes[1] {
			t.Errorf("%s: %d instead of %d", what, sizes[0], sizes[1])
		}
	}
}
