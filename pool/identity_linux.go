package pool

import (
	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/ledger"
	"golang.org/x/sys/unix"
)

// An identity says which process a participant is. Its methods are bare Go.
type identity struct {
	pid           int32
	pidNamespace  uint32 // inodes: numbers count in their own namespace only
	timeNamespace uint32 // 0 on a kernel that has none
	uid           uint32
	clock         ledger.Clock
}

// The inode of the initial time namespace (TIME_NS_INIT_INO, linux/nsfs.h).
const initialTimeNamespace = 0xEFFFFFFA

// find finds out the identity of this process. An error is that of a file of /proc.
func (own *identity) find() error {
	var st unix.Stat_t
	if errno := bare.Stat(bare.C("/proc/self/ns/pid\x00"), &st); errno != 0 {
		return bare.Error(errno)
	}
	own.pid = int32(bare.Sys(unix.SYS_GETPID, 0, 0, 0, 0))
	own.pidNamespace = uint32(st.Ino)
	own.uid = uint32(bare.Sys(unix.SYS_GETUID, 0, 0, 0, 0))
	switch errno := bare.Stat(bare.C("/proc/self/ns/time\x00"), &st); {
	case errno == unix.ENOENT:
		return nil
	case errno != 0:
		return bare.Error(errno)
	}
	own.timeNamespace = uint32(st.Ino)
	if st.Ino == initialTimeNamespace {
		return nil
	}
	var buffer [256]byte
	text, errno := bare.ReadFile(bare.C("/proc/self/timens_offsets\x00"), buffer[:])
	if errno != 0 {
		return bare.Error(errno)
	}
	for clock, rest := bare.Field(text); clock != ""; clock, rest = bare.Field(rest) {
		var first, second string
		first, rest = bare.Field(rest)
		second, rest = bare.Field(rest)
		seconds, ok1 := bare.SignedNumber(first)
		nanoseconds, ok2 := bare.SignedNumber(second)
		if clock == "boottime" && ok1 && ok2 {
			own.clock = ledger.Clock(seconds*1e9 + nanoseconds)
			return nil
		}
	}
	return unix.EINVAL
}
