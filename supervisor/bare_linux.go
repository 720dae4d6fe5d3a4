package supervisor

import (
	"syscall"
	"unsafe"
)

// Bare Go runs where the Go runtime does not: before it has started (enter), in a
// child that shares this process's memory until it execs (exec), in a child of
// clone(2) that has one thread of many (watch), and below a runtime that is giving
// up (fatal). Such a function
//
//   - does not allocate: what it needs is in variables, on its stack, or in memory
//     that it maps. One value that escapes to the heap is a fault;
//   - calls nothing but bare Go and raw system calls, and never the runtime: no
//     defer, maps, channels, interfaces, strings that are put together. A panic is
//     a fault too, so every index must be right;
//   - runs with a g of zeros (bare.g), whose stack guard of 0 lets every function's
//     stack check pass, and on bare.stack: the kernel's initial stack can be as small
//     as the limit of it says.
//
// The pieces of assembly that call it set both up: entry_linux_*.s, clone_linux_*.s.
// They call it through a func value, since the call of a Go function's own name
// from assembly goes through a wrapper that wants the runtime's thread pointer.
//
//lint:ignore U1000 assembly uses it
var bare struct {
	stack [bareStackSize]byte
	g     [1024]byte // more than a g has; above the stack, where the page is in use anyway
}

const bareStackSize = 32<<10 - 1024

// sys makes a system call. Its result is negative, an errno, where it failed.
//
//go:nosplit
func sys(call, a, b, c, d uintptr) int {
	result, _, errno := syscall.RawSyscall6(call, a, b, c, d, 0, 0)
	if errno != 0 {
		return -int(errno)
	}
	return int(result)
}

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

// A line is a text that bare Go puts together. What does not fit is left out.
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

// say writes the line to standard error.
//
//go:nosplit
func (l *line) say() {
	sys(syscall.SYS_WRITE, 2, uintptr(unsafe.Pointer(&l.text)), uintptr(l.length), 0)
}
