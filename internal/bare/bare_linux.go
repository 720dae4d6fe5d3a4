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

// Sys makes a system call of up to four arguments. A negative result is an errno.
//
// It is no assembly of our own, because Go calls that through wrappers which afterwards load g from
// the thread pointer, and a child that shares this process's memory has the wrong one.
//
//go:nosplit
//go:norace
func Sys(call, a, b, c, d uintptr) int { return sys6(call, a, b, c, d, 0, 0) }

// Map is mmap(2). A negative result is an errno.
//
//go:nosplit
//go:norace
func Map(address, size, protection, flags, fd, offset uintptr) int {
	return sys6(unix.SYS_MMAP, address, size, protection, flags, fd, offset)
}

//go:nosplit
//go:norace
func sys6(call, a, b, c, d, e, f uintptr) int {
	result, _, errno := syscall.RawSyscall6(call, a, b, c, d, e, f)
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

// Error is an errno as an error, nil for 0. The runtime has a table of the values of small numbers
// (staticuint64s), so the conversion allocates nothing.
func Error(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

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

// C returns a constant text, which ends with a NUL, as a C string.
//
//go:nosplit
func C(text string) *byte { return unsafe.StringData(text) }

// ReadFile reads the beginning of a file of /proc, as much as fits the buffer. A short read is the
// end of such a file (fs/seq_file.c).
//
//go:norace
func ReadFile(path *byte, buffer []byte) (text string, errno syscall.Errno) {
	fd := Sys(unix.SYS_OPENAT, AtCWD, Pointer(path), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if fd < 0 {
		return "", Errno(fd)
	}
	n := Sys(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buffer))), uintptr(len(buffer)), 0)
	Sys(unix.SYS_CLOSE, uintptr(fd), 0, 0, 0)
	if n < 0 || n > len(buffer) {
		return "", Errno(n)
	}
	return unsafe.String(unsafe.SliceData(buffer), n), 0
}

// AtCWD is AT_FDCWD of openat(2).
const AtCWD = ^uintptr(99)

// Stat is stat(2). The path is a C string.
func Stat(path *byte, st *unix.Stat_t) syscall.Errno {
	return Errno(Sys(unix.SYS_NEWFSTATAT, AtCWD, Pointer(path), Pointer(st), 0))
}

// BootTime is CLOCK_BOOTTIME of the caller's time namespace, in nanoseconds.
//
//go:norace
func BootTime() int64 {
	var ts unix.Timespec
	Sys(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, Pointer(&ts), 0, 0)
	return ts.Nano()
}
