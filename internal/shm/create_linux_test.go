package shm

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A temporary is stale when nobody has it open that made it, and not before.
func TestOnlyStaleTemporariesAreRemoved(t *testing.T) {
	fd, file, err := createTemporary()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(Path(file)) })
	removeStaleTemporaries()
	if !hasName(fd) {
		t.Error("a living creator's was removed")
	}
	if err := unix.Fchmod(fd, 0o660); err != nil { // as set up as it can be
		t.Fatal(err)
	}
	unix.Close(fd)
	removeStaleTemporaries()
	if Exists(file) {
		t.Error("a dead creator's was left")
	}
}

// A creator that dies between the two steps of Link leaves two names, of which the next
// creator removes the temporary one.
func TestTheOtherNameOfAStaleTemporaryIsLeft(t *testing.T) {
	fd, file, err := createTemporary()
	if err != nil {
		t.Fatal(err)
	}
	const name = "poolrun-shm-test"
	t.Cleanup(func() { os.Remove(Path(file)); os.Remove(Path(name)) })
	if err := os.Link(Path(file), Path(name)); err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	removeStaleTemporaries()
	if Exists(file) || !Exists(name) {
		t.Errorf("the temporary exists: %v, the object: %v", Exists(file), Exists(name))
	}
}

// An object that was not linked leaves nothing, and one that was linked is
// left under its name alone.
func TestATemporaryBecomesAnObjectLikeAnyOther(t *testing.T) {
	for _, link := range []bool{false, true} {
		fd, temporary, err := createTemporary()
		if err != nil {
			t.Fatal(err)
		}
		object, err := setUp(fd, 4096, 0o600, Caller)
		if err != nil {
			t.Fatal(err)
		}
		object.temporary = temporary
		const name = "poolrun-shm-test"
		t.Cleanup(func() { Unlink(name) })
		if link {
			if err := object.Link(name); err != nil {
				t.Error(err)
			}
		}
		if err := object.Close(); err != nil {
			t.Error(err)
		}
		if Exists(temporary) || Exists(name) != link {
			t.Errorf("linked %v: the temporary exists: %v, the object: %v", link, Exists(temporary), Exists(name))
		}
	}
}

func TestSpaceIsReservedWithoutFallocate(t *testing.T) {
	const size = 3<<16 + 5
	fd, err := unix.MemfdCreate("", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := writeZeros(fd, size); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Size != size || st.Blocks*512 < size {
		t.Errorf("%d bytes, %d blocks, %v", st.Size, st.Blocks, err)
	}
}
