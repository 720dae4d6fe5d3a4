package supervisor

import (
	"unsafe"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// The Go runtime reserves a large range of addresses when it starts, of which it uses a few pages,
// and allocates a large index, of which it uses one page. Both count against a limit of the address
// space or of the data segment. If such a limit is too low and cannot be raised, the runtime's mmap
// is replaced by mapThriftily, through the runtime's hook for sanitizers (runtime/cgo_mmap.go):
//
//   - A reservation maps nothing. It returns a range of addresses that no other mapping uses.
//     The runtime later maps the parts that it needs at fixed addresses.
//   - A large block of memory is mapped shared, although no other process uses it, because
//     RLIMIT_DATA limits private memory only (getrlimit(2)).
const (
	reservedAt = 64 << 30 // above all programs, and below all mappings whose address the kernel chooses
	large      = 16 << 20
)

var nextReserved uintptr = reservedAt

// cgoMmap is the runtime's hook: a C function that returns an address or an errno.
//
//go:linkname cgoMmap _cgo_mmap
var cgoMmap unsafe.Pointer

// thriftyMmap is the address of poolrun_mmap, a C function that calls mapThriftily. poolrun_entry
// sets it.
var thriftyMmap unsafe.Pointer

// mapThrift lets poolrun_mmap call mapThriftily.
//
//lint:ignore U1000 assembly uses it
var mapThrift = mapThriftily

// mapThriftily is bare Go. It maps memory as mmap(2) does, and returns an address or an errno.
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
	result := bare.Map(address, size, uintptr(protection), uintptr(flags), uintptr(fd), uintptr(offset))
	if result < 0 {
		return uintptr(-result)
	}
	return uintptr(result)
}
