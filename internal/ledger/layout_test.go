package ledger

import (
	"testing"
	"unsafe"
)

// The ledger is shared with every program that was built from any version with
// the same Version. Whoever has to change a number here has to change that
// too.
func TestLayoutIsFixed(t *testing.T) {
	var l Ledger
	var rec Participant
	for what, sizes := range map[string][2]uintptr{
		"inUse":        {unsafe.Offsetof(l.inUse), 48},
		"first":        {unsafe.Offsetof(l.first), 56},
		"intent":       {unsafe.Offsetof(l.intent), 232},
		"sleepers":     {unsafe.Offsetof(l.sleepers), 272},
		"pace":         {unsafe.Offsetof(l.pace), 280},
		"holders":      {unsafe.Offsetof(l.holders), 4096},
		"items":        {unsafe.Offsetof(l.items), 4096 + 4*4096},
		"participants": {unsafe.Offsetof(l.participants), 4096 + 4*4096 + 128*4096},
		"ledger":       {unsafe.Sizeof(l), 4096 + 4*4096 + 128*4096 + 256*8192},
		"participant":  {unsafe.Sizeof(rec), 256},
		"bell":         {unsafe.Offsetof(rec.Bell), 92},
	} {
		if sizes[0] != sizes[1] {
			t.Errorf("%s: %d instead of %d", what, sizes[0], sizes[1])
		}
	}
}
