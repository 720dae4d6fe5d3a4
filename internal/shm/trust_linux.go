package shm

import (
	"os"
	"os/user"
	"slices"
	"strconv"

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

// /dev/shm is writable to all: anybody can be first to take a name. An object
// counts as the one that was meant if its owner is the caller or root (the rule
// of fs.protected_regular, proc_sys_fs(5)), or if it is shared through a group
// of the caller and closed to everybody else.
func trusted(st *unix.Stat_t) bool {
	if st.Uid == 0 || int(st.Uid) == os.Geteuid() {
		return true
	}
	if st.Mode&0o020 == 0 || st.Mode&0o007 != 0 {
		return false
	}
	groups, _ := os.Getgroups()
	return int(st.Gid) == os.Getegid() || slices.Contains(groups, int(st.Gid))
}

func ownedBy(file string) string {
	var st unix.Stat_t
	if unix.Lstat(Path(file), &st) != nil {
		return ""
	}
	return ", it belongs to " + UserName(st.Uid)
}

// UserName is the user's name, or the number where there is no name.
func UserName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}
