package tests

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// no-tmpfile COMMAND [ARG...]: becomes the command. Its openat(2) refuses O_TMPFILE, as on a
// file system that lacks it.
func noTmpfile() {
	const flags = 16 + 2*8 // offset of args[2] in struct seccomp_data, seccomp(2)
	becomeFiltered(
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_OPENAT, Jf: 3},
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: flags},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: unix.O_TMPFILE &^ unix.O_DIRECTORY, Jf: 1},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EOPNOTSUPP)},
	)
}

// no-unlink COMMAND [ARG...]: becomes the command, and its unlinkat(2) fails.
func noUnlink() {
	becomeFiltered(
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_UNLINKAT, Jf: 1},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
	)
}

// becomeFiltered becomes the command in the arguments, under a filter of system calls. The
// rules find the call's number in the accumulator. A call that passes them is allowed.
func becomeFiltered(rules ...unix.SockFilter) {
	filter := append([]unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}}, rules...)
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	check(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	check(unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0))
	become(os.Args[1:])
}
