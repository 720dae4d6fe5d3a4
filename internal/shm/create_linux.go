package shm

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// An object is complete before it has its name. So nobody opens half of one, and a creator that is
// killed leaves nothing behind. O_TMPFILE of open(2) is made for that.
//
// On a file system without O_TMPFILE (gVisor's, old kernels' overlayfs and ramfs) the object has a
// temporary name first, as with sem_open(3) of glibc. If its creator is killed, the next creator of
// the same user removes it. Two invariants:
//
//   - A temporary whose byte temporaryByte is not locked has no living creator.
//   - A creator whose file has lost its name before it was locked starts again.

// An Owner is a user and a group. NoChange instead of either means the caller's own.
type Owner struct{ UID, GID int }

// NoChange is -1, which makes chown(2) change nothing.
const NoChange = -1

// Caller is the owner of what a process makes.
var Caller = Owner{NoChange, NoChange}

// Anonymous makes an object without a name. Nothing is left of it if the process dies before Link.
// Its space is reserved: a full file system is an error here (ENOSPC) and not a SIGBUS later. The
// mode is exact: the umask does not count.
func Anonymous(size int64, mode fs.FileMode, owner Owner) (*Object, error) {
	temporary := ""
	fd, err := unix.Open(Dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	switch err {
	case unix.EOPNOTSUPP, unix.EISDIR, unix.EINVAL: // no O_TMPFILE in the file system, or in the kernel
		removeStaleTemporaries()
		fd, temporary, err = createTemporary()
	}
	if err != nil {
		return nil, err
	}
	object, err := setUp(fd, size, mode, owner)
	if err != nil {
		removeTemporary(temporary)
		unix.Close(fd)
		return nil, err
	}
	object.temporary = temporary
	return object, nil
}

func setUp(fd int, size int64, mode fs.FileMode, owner Owner) (*Object, error) {
	if owner != Caller {
		if err := unix.Fchown(fd, owner.UID, owner.GID); err != nil {
			return nil, fmt.Errorf("cannot give it to %s: %w", owner, err)
		}
	}
	if err := unix.Fchmod(fd, uint32(mode.Perm())); err != nil {
		return nil, err
	}
	if err := reserve(fd, size); err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	o := new(Object)
	o.describe(fd, &st)
	if errno := o.mapFile(size, ReadWrite); errno != 0 {
		return nil, errno
	}
	return o, nil
}

func (o Owner) String() string {
	if o.UID == NoChange {
		return fmt.Sprintf("group %d", o.GID)
	}
	return fmt.Sprintf("%s and group %d", ownerName(uint32(o.UID)), o.GID)
}

// reserve gives the file a size and the space for it. On a file system without fallocate(2), like
// ramfs, it writes zeros.
func reserve(fd int, size int64) error {
	err := retry(func() error { return unix.Fallocate(fd, 0, 0, size) })
	if err == unix.EOPNOTSUPP || err == unix.ENOSYS {
		return writeZeros(fd, size)
	}
	return err
}

func writeZeros(fd int, size int64) error {
	zeros := make([]byte, min(size, 1<<16))
	for at := int64(0); at < size; {
		n, err := unix.Pwrite(fd, zeros[:min(size-at, int64(len(zeros)))], at)
		if err != nil && err != unix.EINTR {
			return err
		}
		at += int64(max(n, 0))
	}
	return nil
}

// Link gives an anonymous object its name, or returns EEXIST if the name is taken.
func (o *Object) Link(file string) error {
	if o.temporary == "" {
		return unix.Linkat(unix.AT_FDCWD, o.procPath(), unix.AT_FDCWD, Path(file), unix.AT_SYMLINK_FOLLOW)
	}
	if err := unix.Link(Path(o.temporary), Path(file)); err != nil {
		return err
	}
	removeTemporary(o.temporary)
	o.temporary = ""
	return nil
}

// temporaryPrefix begins no name of a semaphore or a ledger.
const temporaryPrefix = ".poolrun-new."

// temporaryByte comes before all bytes that an object's users lock.
const temporaryByte = LockBase - 1

func createTemporary() (fd int, file string, err error) {
	for {
		file = fmt.Sprintf("%s%016x", temporaryPrefix, rand.Uint64())
		fd, err = unix.Open(Path(file), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err == unix.EEXIST {
			continue
		}
		if err != nil {
			return -1, "", err
		}
		err = SetLock(fd, Exclusive, temporaryByte)
		if err == nil && hasName(fd) {
			return fd, file, nil
		}
		unix.Close(fd)
		if err != nil && err != unix.EAGAIN {
			removeTemporary(file)
			return -1, "", err
		}
	}
}

func removeTemporary(file string) {
	if file != "" {
		Unlink(file)
	}
}

// removeStaleTemporaries removes what dead creators of the caller's user have left. What it cannot
// remove it leaves: nobody needs these names.
func removeStaleTemporaries() {
	entries, _ := os.ReadDir(Dir)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), temporaryPrefix) {
			removeIfStale(entry.Name())
		}
	}
}

func removeIfStale(file string) {
	fd, err := unix.Open(Path(file), unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && wrongType(&st) == Accepted && int(st.Uid) == os.Geteuid() &&
		SetLock(fd, Exclusive, temporaryByte) == nil && IsNamed(file, st.Ino) {
		Unlink(file)
	}
}
