package supervisor

import "unsafe"

// Bare Go (package bare) runs before the Go runtime has started (enter), in a child that shares this
// process's memory until it execs (become), in a child of clone(2) that has one of several threads
// (resume), in place of the runtime's mmap (mapThriftily), and while the runtime reports a fatal
// error (fatal). The last two stay on the stack of their thread. The others run on bareStack,
// because the kernel's initial stack can be as small as its limit.
//
// The assembly in bare_linux_*.s sets up the stack and the g. It calls bare Go through a func value,
// because a call by name goes through a wrapper, which loads g from the thread pointer. Only at the
// entry point is that our own.
//
//lint:ignore U1000 assembly uses it
var bareStack struct {
	stack [bareStackSize]byte
	g     [1024]byte // larger than a g; next to the stack's top, in a page that is used anyway
}

const bareStackSize = 64<<10 - 1024

// childStack is the upper end of a stack for a child that shares this process's memory: all of
// bareStack, or what is left of it if the caller itself runs there.
func childStack() uintptr {
	var here byte
	begin, end := uintptr(unsafe.Pointer(&bareStack.stack)), uintptr(unsafe.Pointer(&bareStack.g))
	if sp := uintptr(unsafe.Pointer(&here)); sp > begin && sp < end {
		end = sp - frames
	}
	return (end - spill) &^ 15
}

const (
	frames = 1024 // room for what the caller's callees use until the child runs
	spill  = 64   // room for the child to spill its arguments
)

// threadPointer is where the thread pointer points to before the Go runtime has set it.
//
//lint:ignore U1000 assembly uses it
var threadPointer [2]uintptr
