package supervisor

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The Go runtime reserves 1.2 GB of addresses at its start, of which it uses a few
// pages, and allocates an index of 32 MB, of which it uses one. Both count for a limit
// of the address space or the data segment. Where such a limit is too low and cannot be
// raised, the runtime's mmap is led to this one, through its hook for sanitizers
// (runtime/cgo_mmap.go), and
//
//   - a reservation takes nothing: it is a range of addresses that nothing else is put
//     into. The runtime maps what it uses of it at a fixed address, as ever;
//   - a large piece of memory is shared, with nobody: RLIMIT_DATA is about private
//     memory only (getrlimit(2)).
const (
	reservedAt = 64 << 30 // above every program and below every mapping that the kernel places
	large      = 16 << 20
)

var nextReserved uintptr = reservedAt

// cgoMmap is the runtime's hook: a function of C that returns an address or an errno.
//
//go:linkname cgoMmap _cgo_mmap
var cgoMmap unsafe.Pointer

// thriftyMmap is the address of one, in memory_linux_*.s, that calls mapThriftily. The
// entry point sets it.
var thriftyMmap unsafe.Pointer

// mapThrift is for memory_linux_*.s to call.
//
//lint:ignore U1000 assembly uses it
var mapThrift = mapThriftily

// mapThriftily is bare Go.
func mapThriftily(address, size uintptr, protection, flags, fd int32, offset uint32) uintptr {
	if protection == unix.PROT_NONE && flags&unix.MAP_FIXED == 0 {
		if address == 0 {
			address = nextReserved
			nextReserved += (size + large - 1) &^ (large - 1)
		}
		return address
	}
	if size >= large && flags&unix.MAP_FIXED == 0 {
		flags = flags&^unix.MAP_PRIVATE | unix.MAP_SHARED
	}
	result, _, errno := syscall.RawSyscall6(unix.SYS_MMAP, address, size, uintptr(protection), uintptr(flags), uintptr(fd), uintptr(offset))
	if errno != 0 {
		return uintptr(errno)
	}
	return result
}
