package supervisor

import (
	"os"
	"testing"
	"unsafe"
)

// The runtime's writes to other descriptors than the standard error arrive there: by one
// of them it wakes the thread that sleeps for all timers.
func TestTheRuntimesOtherWritesArrive(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	text := [8]byte{1}
	n := fatal(write.Fd(), unsafe.Pointer(&text), int32(len(text)))
	write.Close()
	var got [9]byte
	if m, _ := read.Read(got[:]); n != 8 || m != 8 || got[0] != 1 {
		t.Errorf("%d of 8 bytes were written, %d arrived", n, m)
	}
	if fatalLength != 0 {
		t.Error("it was taken for a report")
	}
}
