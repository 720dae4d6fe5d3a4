package supervisor

import (
	"syscall"
	"unsafe"
)

// Bare Go is Go code that runs without the Go runtime. It runs before the runtime has started
// (enter), in a child that shares this process's memory until it execs (become), in a child of
// clone(2) that has one of several threads (resume), in place of the runtime's mmap (mapThriftily),
// and while the runtime reports a fatal error (fatal). A bare function
//
//   - does not allocate. It uses variables, its stack, and memory that it maps. A value that
//     escapes to the heap is a fault;
//   - calls only bare Go and raw system calls, never the runtime: no defer, maps, channels,
//     interfaces or string concatenation. A panic is a fault too, so every index must be right;
//   - is marked go:norace if it runs in a child, because the race detector needs the runtime;
//   - runs on bare.stack, because the kernel's initial stack can be as small as its limit, and
//     with a g of zeros (bare.g), whose stack guard of 0 satisfies the stack check of every
//     function. fatal and mapThriftily are the exceptions: they stay on the stack of the thread.
//
// tests/bare_test.go checks the calls in the machine code.
//
// The assembly in bare_linux_*.s sets up the stack and the g. It calls bare Go through a func
// value: a call by name goes through a wrapper, which needs the runtime's thread pointer.
//
//lint:ignore U1000 assembly uses it
var bare struct {
	stack [bareStackSize]byte
	g     [1024]byte // larger than a g; next to the stack's top, in a page that is used anyway
}

const bareStackSize = 32<<10 - 1024

// sys makes a system call. A negative result is an errno.
//
//go:nosplit
//go:norace
func sys(call, a, b, c, d uintptr) int {
	result, _, errno := syscall.RawSyscall6(call, a, b, c, d, 0, 0)
	if errno != 0 {
		return -int(errno)
	}
	return int(result)
}

// pointer passes a pointer to a system call of bare Go without letting its target escape.
//
//go:nosplit
func pointer[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// at converts an address outside Go's heap to a pointer.
//
//go:nosplit
func at(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

// startsWith reports whether a C string starts with a text.
//
//go:nosplit
func startsWith(s *byte, text string) bool {
	for i := range len(text) {
		if *(*byte)(unsafe.Add(unsafe.Pointer(s), i)) != text[i] {
			return false
		}
	}
	return true
}

// A line is a text that bare Go builds. Text that does not fit is dropped.
type line struct {
	text   [512]byte
	length int
}

//go:nosplit
func (l *line) add(text string) {
	for i := range len(text) {
		if uint(l.length) < uint(len(l.text)) {
			l.text[l.length] = text[i]
			l.length++
		}
	}
}

//go:nosplit
func (l *line) addNumber(n uint64) {
	var digits [20]byte
	i := len(digits)
	for {
		i--
		digits[i&31%20] = byte('0' + n%10)
		if n /= 10; n == 0 {
			break
		}
	}
	for ; i < len(digits); i++ {
		l.add(unsafe.String(&digits[i], 1))
	}
}

// has reports whether the line contains a text.
//
//go:nosplit
func (l *line) has(text string) bool {
	for i := 0; i+len(text) <= l.length; i++ {
		if startsWith((*byte)(unsafe.Add(unsafe.Pointer(&l.text), i)), text) {
			return true
		}
	}
	return false
}

// write writes the line to standard error.
//
//go:nosplit
func (l *line) write() {
	sys(syscall.SYS_WRITE, 2, uintptr(unsafe.Pointer(&l.text)), uintptr(l.length), 0)
}

// fail is bare Go: it writes a message to standard error and exits.
func fail(text string) {
	put(text)
	sys(syscall.SYS_EXIT_GROUP, exitFailure, 0, 0, 0)
}
