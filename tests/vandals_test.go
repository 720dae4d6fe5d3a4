package tests

import (
	"math/rand/v2"
	"os"
	"time"
)

// scribble FILE: writes random words into a ledger's header, holders and first records, and
// restores them now and then. It spares the first 16 bytes, since no program reads a ledger
// without them.
func scribble() {
	f, err := os.OpenFile(os.Args[1], os.O_RDWR, 0)
	check(err)
	sound := make([]byte, 1<<20)
	_, err = f.ReadAt(sound, 0)
	check(err)
	const records = 4096 + 4*4096 + 128*4096 // offset of the participants
	places := []struct{ from, to int64 }{{16, 416}, {4096, 4096 + 256}, {records, records + 16*320}}
	for n := 0; ; n++ {
		place := places[n%len(places)]
		at := place.from + 4*rand.Int64N((place.to-place.from)/4)
		word := []byte{byte(rand.Uint32()), byte(rand.Uint32N(32)), 0, 0}
		if n%2 == 0 {
			word = make([]byte, 4)
		}
		f.WriteAt(word, at)
		if n%64 == 0 {
			f.WriteAt(sound[16:416], 16)
		}
		if n%4096 == 0 {
			f.WriteAt(sound, 0)
			time.Sleep(time.Millisecond)
		}
	}
}

// cut-short FILE: truncates a ledger and restores it, again and again.
func cutShort() {
	f, err := os.OpenFile(os.Args[1], os.O_RDWR, 0)
	check(err)
	info, err := f.Stat()
	check(err)
	sound := make([]byte, info.Size())
	_, err = f.ReadAt(sound, 0)
	check(err)
	for {
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		f.Truncate(0)
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
		f.WriteAt(sound, 0)
	}
}
