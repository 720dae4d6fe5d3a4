// Package shm makes, opens and maps objects in /dev/shm, where POSIX shared memory and semaphores
// live (shm_overview(7)).
package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Dir is the directory of the objects. glibc and the kernel agree on this path.
const Dir = "/dev/shm"

// Path is the path of the object with this file name.
func Path(file string) string { return Dir + "/" + file }

// An Object is an open file of /dev/shm, mapped whole.
type Object struct {
	FD       int
	ReadOnly bool
	Device   uint64
	Inode    uint64
	Mode     fs.FileMode // permission bits
	Owner    Owner
	data     []byte

	temporary string // the name of an object that was made without O_TMPFILE and is not linked yet
}

// Access says what Open asks for.
type Access int

const (
	ReadWrite Access = iota
	ReadOnly
	Manage // to write to it; root may, whoever owns the object
)

// Open opens and maps the object with this file name. It refuses (see Refused) a file that is not a
// regular one of exactly this size, and, for writing, one whose owner is not trusted: see trusted.
func Open(file string, size int64, access Access) (*Object, error) {
	flags := unix.O_RDWR
	if access == ReadOnly {
		flags = unix.O_RDONLY
	}
	// With O_NONBLOCK a FIFO of that name does not block the open, and a lease of another process
	// (IsOnlyUser), which it has for a moment, makes it fail with EWOULDBLOCK.
	fd, err := unix.Open(Path(file), flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	for range 100 {
		if err != unix.EWOULDBLOCK {
			break
		}
		time.Sleep(time.Millisecond)
		fd, err = unix.Open(Path(file), flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	}
	switch err {
	case nil:
	case unix.ELOOP:
		return nil, &Refused{File: file, Reason: "is a symbolic link"}
	case unix.EISDIR:
		return nil, &Refused{File: file, Reason: "is a directory"}
	case unix.EACCES:
		return nil, fmt.Errorf("%s: %w%s", Path(file), err, ownedBy(file))
	case unix.ENXIO: // a socket
		return nil, &Refused{File: file, Reason: "is not a regular file"}
	default:
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, err
	}
	refused := &Refused{File: file, Reason: wrongType(&st)}
	mayWrite := access == ReadOnly || trusted(&st) || access == Manage && unix.Geteuid() == 0
	if refused.Reason == "" && !mayWrite {
		refused = &Refused{file, "belongs to " + ownerName(st.Uid) + ", who is neither you nor root, and is not shared through a group of yours", fs.ErrPermission}
	}
	if refused.Reason == "" && st.Size != size {
		refused = &Refused{file, fmt.Sprintf("has %d bytes instead of %d", st.Size, size), ErrWrongSize}
	}
	if refused.Reason != "" {
		unix.Close(fd)
		return nil, refused
	}
	object, err := mapObject(fd, size, access)
	if err != nil {
		unix.Close(fd)
	}
	return object, err
}

// Refused is the error for an object that is not what it should be.
type Refused struct {
	File, Reason string
	Kind         error // fs.ErrPermission, ErrWrongSize, or nil for a file that is not a regular one
}

// ErrWrongSize is the kind of an object that has another size than expected.
var ErrWrongSize = errors.New("wrong size")

func (r *Refused) Error() string { return Path(r.File) + " " + r.Reason }
func (r *Refused) Unwrap() error { return r.Kind }

// mapObject makes an object of an open file, which stays the caller's if it fails.
func mapObject(fd int, size int64, access Access) (*Object, error) {
	prot := unix.PROT_READ | unix.PROT_WRITE
	if access == ReadOnly {
		prot = unix.PROT_READ
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	data, err := unix.Mmap(fd, 0, int(size), prot, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &Object{
		FD: fd, ReadOnly: access == ReadOnly, Device: st.Dev, Inode: st.Ino,
		Mode: fs.FileMode(st.Mode).Perm(), Owner: Owner{int(st.Uid), int(st.Gid)}, data: data,
	}, nil
}

// View lays a T over the object's first bytes. T must consist of fixed-width fields and must not be
// larger than the object.
func View[T any](o *Object) *T {
	// A variable of type T would be allocated, and cleared, on the heap if T is large.
	view := (*T)(unsafe.Pointer(&o.data[0]))
	if unsafe.Sizeof(*view) > uintptr(len(o.data)) {
		panic("shm: view larger than the object")
	}
	return view
}

// Reopen opens the same file again, whatever its name leads to by now: another open file
// description, with locks of its own.
func (o *Object) Reopen(flags int) (fd int, err error) {
	return unix.Open(o.procPath(), flags|unix.O_CLOEXEC, 0)
}

// HasName reports whether the object is still in a directory.
func (o *Object) HasName() bool { return hasName(o.FD) }

func hasName(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Nlink > 0
}

// IsNamed reports whether this file name leads to the object with this inode.
func IsNamed(file string, inode uint64) bool {
	var st unix.Stat_t
	return unix.Lstat(Path(file), &st) == nil && st.Ino == inode
}

// IsOnlyUser reports whether no other process has the object open or mapped, in whatever pid
// namespace. Only then does the kernel grant a write lease (fcntl(2), F_SETLEASE;
// check_conflicting_open in fs/locks.c). If another process opens the file during the lease, the
// kernel sends the lease's holder a signal: SIGURG, which does nothing, instead of SIGIO, which
// kills.
func (o *Object) IsOnlyUser() bool {
	for _, request := range [][2]int{{unix.F_SETSIG, int(unix.SIGURG)}, {unix.F_SETLEASE, unix.F_WRLCK}} {
		if _, err := unix.FcntlInt(uintptr(o.FD), request[0], request[1]); err != nil {
			return false
		}
	}
	unix.FcntlInt(uintptr(o.FD), unix.F_SETLEASE, unix.F_UNLCK)
	return true
}

// MayUnlink reports whether this process may remove the object's name. /dev/shm is sticky. So the
// process must own the file, or have CAP_FOWNER over it, which root of a user namespace does not
// have over all files. The kernel requires the same for O_NOATIME (open(2);
// inode_owner_or_capable), and setting that flag changes nothing in the file.
func (o *Object) MayUnlink() bool {
	flags, err := unix.FcntlInt(uintptr(o.FD), unix.F_GETFL, 0)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(o.FD), unix.F_SETFL, flags|unix.O_NOATIME)
	}
	return err == nil
}

// Exists reports whether there is anything of that name.
func Exists(file string) bool {
	var st unix.Stat_t
	return unix.Lstat(Path(file), &st) == nil
}

// Unlink removes a name, or returns ENOENT if there is none.
func Unlink(file string) error { return unix.Unlink(Path(file)) }

// Remove removes the name of a regular file, whatever is in it, or returns ENOENT if there is none.
// The kernel decides whether the process may do that: /dev/shm is sticky.
func Remove(file string) error {
	var st unix.Stat_t
	if err := unix.Lstat(Path(file), &st); err != nil {
		return err
	}
	if reason := wrongType(&st); reason != "" {
		return &Refused{File: file, Reason: reason}
	}
	return Unlink(file)
}

// Close unmaps and closes the object. No view of it may be used afterwards.
func (o *Object) Close() error {
	removeTemporary(o.temporary)
	return errors.Join(unix.Munmap(o.data), unix.Close(o.FD))
}

// procPath is a path to the open file that needs no name: see O_TMPFILE in open(2).
func (o *Object) procPath() string { return "/proc/self/fd/" + strconv.Itoa(o.FD) }

func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
