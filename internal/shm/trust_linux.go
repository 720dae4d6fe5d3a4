package shm

import (
	"sync/atomic"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/names"
	"golang.org/x/sys/unix"
)

// wrongType refuses everything but a regular file.
func wrongType(st *unix.Stat_t) Refusal {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return Accepted
	case unix.S_IFDIR:
		return isDirectory
	case unix.S_IFLNK:
		return isSymbolicLink
	}
	return isSpecial
}

// trusted reports whether an object may be used for writing. /dev/shm is writable to all, so any
// user can be first to take a name. An object is trusted if its owner is the caller or root (the
// rule of fs.protected_regular, proc_sys_fs(5)), or if it is shared through a group of the caller
// and closed to others. It is bare Go.
func trusted(st *unix.Stat_t) bool {
	if st.Uid == 0 || int(st.Uid) == geteuid() && !users.isNobody(st.Uid) {
		return true
	}
	if st.Mode&0o020 == 0 || st.Mode&0o007 != 0 {
		return false
	}
	return isMember(st.Gid) && !groups.isNobody(st.Gid)
}

func geteuid() int { return bare.Sys(unix.SYS_GETEUID, 0, 0, 0, 0) }

// isMember reports whether the caller is in a group. The list of its groups can be so long
// (NGROUPS_MAX of limits.h) that no stack has room for it.
func isMember(gid uint32) bool {
	if bare.Sys(unix.SYS_GETEGID, 0, 0, 0, 0) == int(gid) {
		return true
	}
	const most = 1 << 16
	memory := bare.Map(0, 4*most, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, ^uintptr(0), 0)
	if memory < 0 {
		return false
	}
	list := uintptr(memory)
	n := bare.Sys(unix.SYS_GETGROUPS, most, list, 0, 0)
	found := false
	for i := range min(n, most) {
		found = found || (*[most]uint32)(bare.At(list))[i] == gid
	}
	bare.Sys(unix.SYS_MUNMAP, list, 4*most, 0, 0)
	return found
}

// An idMap says what the overflow ID means. In a user namespace it stands for every user (or group)
// that has no number there (user_namespaces(7)): a file and a process that both have it need not
// belong to the same user. It is a number like any other only if all numbers are mapped.
type idMap struct {
	mapFile, overflowFile string // C strings

	isRead   atomic.Bool
	complete atomic.Bool
	overflow atomic.Uint32
}

var (
	users  = idMap{mapFile: "/proc/self/uid_map\x00", overflowFile: "/proc/sys/kernel/overflowuid\x00"}
	groups = idMap{mapFile: "/proc/self/gid_map\x00", overflowFile: "/proc/sys/kernel/overflowgid\x00"}
)

// isNobody is bare Go. It reads the map at its first call.
func (m *idMap) isNobody(id uint32) bool {
	if !m.isRead.Load() {
		m.read()
		m.isRead.Store(true)
	}
	return !m.complete.Load() && id == m.overflow.Load()
}

// read reads the map. A map that cannot be read counts as incomplete, and an overflow ID that cannot
// be read as the kernel's default.
func (m *idMap) read() {
	m.overflow.Store(65534) // DEFAULT_OVERFLOWUID
	var buffer [64]byte
	text, _ := bare.ReadFile(bare.C(m.mapFile), buffer[:])
	inside, text := bare.Field(text)
	_, text = bare.Field(text)
	count, _ := bare.Field(text)
	if inside == "0" && count == "4294967295" {
		m.complete.Store(true)
		return
	}
	text, _ = bare.ReadFile(bare.C(m.overflowFile), buffer[:])
	number, _ := bare.Field(text)
	if n, ok := bare.Number(number, 10); ok && n < 1<<32 {
		m.overflow.Store(uint32(n))
	}
}

func ownedBy(file string) string {
	var st unix.Stat_t
	if unix.Lstat(Path(file), &st) != nil {
		return ""
	}
	return ", it belongs to " + ownerName(st.Uid)
}

// OwnerName names the object's owner in a message. It must not be called under a lock: see
// names.User.
func (o *Object) OwnerName() string { return ownerName(uint32(o.Owner.UID)) }

func ownerName(uid uint32) string {
	if users.isNobody(uid) {
		return "a user unknown in this user namespace"
	}
	return names.User(uid)
}
