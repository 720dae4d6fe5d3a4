// Package shm makes, opens and maps objects in /dev/shm, where POSIX shared memory and semaphores
// live (shm_overview(7)).
package shm

import (
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"github.com/poolrun/poolrun/internal/bare"
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

	refusedSize [2]int64 // why it was refused: the size that it has, and the one that was expected
	temporary   string   // the name of an object that was made without O_TMPFILE and is not linked yet
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
	o := new(Object)
	refusal, errno := o.TryOpen(file, size, access)
	for range 100 {
		if errno != unix.EWOULDBLOCK { // a lease of another process, see openFile
			break
		}
		time.Sleep(time.Millisecond)
		refusal, errno = o.TryOpen(file, size, access)
	}
	switch {
	case refusal != Accepted:
		return nil, refusal.explain(file, o.Owner, o.refusedSize)
	case errno == unix.EACCES:
		return nil, fmt.Errorf("%s: %w%s", Path(file), errno, ownedBy(file))
	case errno != 0:
		return nil, errno
	}
	return o, nil
}

// TryOpen is Open in bare Go. After an error the object has no descriptor and no memory.
func (o *Object) TryOpen(file string, size int64, access Access) (Refusal, syscall.Errno) {
	flags := unix.O_RDWR
	if access == ReadOnly {
		flags = unix.O_RDONLY
	}
	fd := openFile(file, flags)
	switch errno := bare.Errno(fd); errno {
	case 0:
	case unix.ELOOP:
		return isSymbolicLink, 0
	case unix.EISDIR:
		return isDirectory, 0
	case unix.ENXIO: // a socket
		return isSpecial, 0
	default:
		return Accepted, errno
	}
	refusal, errno := o.accept(fd, size, access)
	if refusal != Accepted || errno != 0 {
		bare.Sys(unix.SYS_CLOSE, uintptr(fd), 0, 0, 0)
	}
	return refusal, errno
}

// ReadHead reads the first bytes of a file of the directory, whatever its size and owner are. It
// returns io.ErrUnexpectedEOF if there are fewer.
func ReadHead(file string, head []byte) error {
	fd := openFile(file, unix.O_RDONLY)
	if fd < 0 {
		return bare.Error(bare.Errno(fd))
	}
	defer unix.Close(fd)
	n, err := unix.Pread(fd, head, 0)
	if err == nil && n < len(head) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// openFile opens a file of the directory. A symbolic link is not followed. With O_NONBLOCK a FIFO of
// that name does not block the open, and a lease of another process (IsOnlyUser), which it has for a
// moment, makes it fail with EWOULDBLOCK.
func openFile(file string, flags int) (fd int) {
	var buffer [len(Dir) + 1 + 255 + 1]byte // NAME_MAX
	path := bare.In(buffer[:])
	path.Add(Dir)
	path.Add("/")
	path.Add(file)
	path.End()
	if path.IsCut() {
		return -int(unix.ENAMETOOLONG)
	}
	return bare.Sys(unix.SYS_OPENAT, bare.AtCWD, bare.Pointer(&buffer), uintptr(flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC), 0)
}

// accept maps an open file, unless it is refused.
func (o *Object) accept(fd int, size int64, access Access) (Refusal, syscall.Errno) {
	var st unix.Stat_t
	if errno := bare.Errno(bare.Sys(unix.SYS_FSTAT, uintptr(fd), bare.Pointer(&st), 0, 0)); errno != 0 {
		return Accepted, errno
	}
	o.describe(fd, &st)
	if refusal := wrongType(&st); refusal != Accepted {
		return refusal, 0
	}
	mayWrite := access == ReadOnly || trusted(&st) || access == Manage && geteuid() == 0
	switch {
	case !mayWrite:
		return IsUntrusted, 0
	case st.Size != size:
		o.refusedSize = [2]int64{st.Size, size}
		return hasWrongSize, 0
	}
	return Accepted, o.mapFile(size, access)
}

// describe notes what is known of an open file.
func (o *Object) describe(fd int, st *unix.Stat_t) {
	o.FD, o.Device, o.Inode = fd, st.Dev, st.Ino
	o.Mode, o.Owner = fs.FileMode(st.Mode).Perm(), Owner{int(st.Uid), int(st.Gid)}
}

// mapFile maps the object's file.
func (o *Object) mapFile(size int64, access Access) syscall.Errno {
	prot := uintptr(unix.PROT_READ | unix.PROT_WRITE)
	if o.ReadOnly = access == ReadOnly; o.ReadOnly {
		prot = unix.PROT_READ
	}
	address := bare.Map(0, uintptr(size), prot, unix.MAP_SHARED, uintptr(o.FD), 0)
	if address >= 0 {
		o.data = unsafe.Slice((*byte)(bare.At(uintptr(address))), size)
	}
	return bare.Errno(address)
}

// View lays a T over the object's first bytes. T must consist of fixed-width fields and must not be
// larger than the object. It is bare Go.
func View[T any](o *Object) *T {
	// A variable of type T would be allocated, and cleared, on the heap if T is large.
	view := (*T)(unsafe.Pointer(unsafe.SliceData(o.data)))
	if unsafe.Sizeof(*view) > uintptr(len(o.data)) {
		return nil
	}
	return view
}

// Reopen opens the same file again, whatever its name leads to by now: another open file
// description, with locks of its own.
func (o *Object) Reopen(flags int) (fd int, err error) {
	var buffer [32]byte
	path := bare.In(buffer[:])
	path.Add(selfFD)
	path.AddNumber(uint64(o.FD), 10)
	path.End()
	fd = bare.Sys(unix.SYS_OPENAT, bare.AtCWD, bare.Pointer(&buffer), uintptr(flags|unix.O_CLOEXEC), 0)
	return fd, bare.Error(bare.Errno(fd))
}

// HasName reports whether the object is still in a directory.
func (o *Object) HasName() bool { return hasName(o.FD) }

func hasName(fd int) bool {
	var st unix.Stat_t
	return bare.Sys(unix.SYS_FSTAT, uintptr(fd), bare.Pointer(&st), 0, 0) == 0 && st.Nlink > 0
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
	if refusal := wrongType(&st); refusal != Accepted {
		return refusal.explain(file, Owner{}, [2]int64{})
	}
	return Unlink(file)
}

// Close unmaps and closes the object. No view of it may be used afterwards.
func (o *Object) Close() error {
	removeTemporary(o.temporary)
	return o.Release()
}

// Release is Close in bare Go, for an object that has its name.
func (o *Object) Release() error {
	unmapped := bare.Sys(unix.SYS_MUNMAP, bare.Pointer(unsafe.SliceData(o.data)), uintptr(len(o.data)), 0, 0)
	closed := bare.Sys(unix.SYS_CLOSE, uintptr(o.FD), 0, 0, 0)
	o.data = nil
	return bare.Error(bare.Errno(min(unmapped, closed)))
}

// procPath is a path to the open file that needs no name: see O_TMPFILE in open(2).
func (o *Object) procPath() string { return selfFD + strconv.Itoa(o.FD) }

const selfFD = "/proc/self/fd/"

func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
