// Package bare is for Go code that runs without the Go runtime: before the runtime has started, in
// a child that shares this process's memory until it execs, and while the runtime reports a fatal
// error. A bare function
//
//   - does not allocate. It uses variables, its stack, and memory that it maps. A value that
//     escapes to the heap is a fault;
//   - calls only bare Go and raw system calls, never the runtime: no defer, maps, channels,
//     append or string concatenation, and an interface only of a constant. A panic is a fault
//     too, so every index must be right;
//   - uses no variable that is initialized when the program starts, unless it runs after that;
//   - is marked go:norace if it runs in a child, because the race detector needs the runtime;
//   - runs on a stack of its own, with a g of zeros, whose stack guard of 0 satisfies the stack
//     check of every function: see supervisor/bare_linux_*.s.
//
// Ordinary Go may call bare functions too, if they cannot block: the Go scheduler does not hear of
// their system calls. tests/bare_test.go checks the calls in the machine code.
package bare

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sys makes a system call. A negative result is an errno.
//
//go:nosplit
//go:norace
func Sys(call, a, b, c, d uintptr) int {
	result, _, errno := syscall.RawSyscall6(call, a, b, c, d, 0, 0)
	if errno != 0 {
		return -int(errno)
	}
	return int(result)
}

// Pointer passes a pointer to a system call without letting its target escape.
//
//go:nosplit
func Pointer[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// At converts an address outside Go's heap to a pointer.
//
//go:nosplit
func At(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

// Errno is the error of a result of Sys, 0 for none.
//
//go:nosplit
func Errno(result int) syscall.Errno { return syscall.Errno(max(-result, 0)) }

// String is the text of a C string, which shares its memory.
//
//go:nosplit
func String(s *byte) string {
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(s), n)) != 0 {
		n++
	}
	return unsafe.String(s, n)
}

// Contains reports whether a text contains another one.
//
//go:nosplit
func Contains(text, part string) bool {
	for i := 0; i+len(part) <= len(text); i++ {
		if text[i:i+len(part)] == part {
			return true
		}
	}
	return false
}

// ReadFile reads the beginning of a file, as much as fits the buffer. The path is a C string.
func ReadFile(path *byte, buffer []byte) (n int, errno syscall.Errno) {
	fd := Sys(syscall.SYS_OPENAT, AtCWD, Pointer(path), syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if fd < 0 {
		return 0, Errno(fd)
	}
	for n < len(buffer) {
		got := Sys(syscall.SYS_READ, uintptr(fd), Pointer(&buffer[n]), uintptr(len(buffer)-n), 0)
		if got <= 0 {
			errno = Errno(got)
			break
		}
		n += got
	}
	Sys(syscall.SYS_CLOSE, uintptr(fd), 0, 0, 0)
	return n, errno
}

// AtCWD is AT_FDCWD of openat(2).
const AtCWD = ^uintptr(99)

// Stat is stat(2). The path is a C string.
func Stat(path *byte, st *unix.Stat_t) syscall.Errno {
	return Errno(Sys(unix.SYS_NEWFSTATAT, AtCWD, Pointer(path), Pointer(st), 0))
}
