package shm

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/poolrun/poolrun/internal/names"
	"golang.org/x/sys/unix"
)

func wrongType(st *unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return ""
	case unix.S_IFDIR:
		return "is a directory"
	case unix.S_IFLNK:
		return "is a symbolic link"
	}
	return "is not a regular file"
}

// trusted reports whether an object may be used for writing. /dev/shm is writable to all, so any
// user can be first to take a name. An object is trusted if its owner is the caller or root (the
// rule of fs.protected_regular, proc_sys_fs(5)), or if it is shared through a group of the caller
// and closed to others.
func trusted(st *unix.Stat_t) bool {
	if st.Uid == 0 || int(st.Uid) == os.Geteuid() && !isNobody(userMap(), st.Uid) {
		return true
	}
	if st.Mode&0o020 == 0 || st.Mode&0o007 != 0 {
		return false
	}
	groups, _ := os.Getgroups()
	isMember := int(st.Gid) == os.Getegid() || slices.Contains(groups, int(st.Gid))
	return isMember && !isNobody(groupMap(), st.Gid)
}

// An idMap says what the overflow ID means. In a user namespace it stands for every user (or group)
// that has no number there (user_namespaces(7)): a file and a process that both have it need not
// belong to the same user. It is a number like any other only if all numbers are mapped.
type idMap struct {
	complete bool
	overflow uint32
}

func isNobody(m idMap, id uint32) bool { return !m.complete && id == m.overflow }

var (
	userMap  = sync.OnceValue(func() idMap { return readIDMap("/proc/self/uid_map", "/proc/sys/kernel/overflowuid") })
	groupMap = sync.OnceValue(func() idMap { return readIDMap("/proc/self/gid_map", "/proc/sys/kernel/overflowgid") })
)

// readIDMap reads a map. A map that cannot be read counts as incomplete, and an overflow ID that
// cannot be read as the kernel's default.
func readIDMap(path, overflow string) idMap {
	m := idMap{overflow: 65534} // DEFAULT_OVERFLOWUID
	first, _, _ := strings.Cut(firstBytes(path), "\n")
	if fields := strings.Fields(first); len(fields) == 3 {
		m.complete = fields[0] == "0" && fields[2] == "4294967295"
	}
	if m.complete {
		return m
	}
	if n, err := strconv.ParseUint(strings.TrimSpace(firstBytes(overflow)), 10, 32); err == nil {
		m.overflow = uint32(n)
	}
	return m
}

// firstBytes returns the beginning of a file of /proc, or nothing if it cannot be read. Every run
// of an ordinary user comes here, so it makes three system calls: package os would set up its
// poller.
func firstBytes(path string) string {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var buffer [64]byte
	n, _ := unix.Read(fd, buffer[:])
	return string(buffer[:max(n, 0)])
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
	if isNobody(userMap(), uid) {
		return "a user unknown in this user namespace"
	}
	return names.User(uid)
}
