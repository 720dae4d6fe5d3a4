//go:build crashpoints

package crash

import (
	"os"
	"strings"
	"unsafe"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// POOLRUN_CRASH_AT=N kills the process at the Nth point that it reaches, and POOLRUN_CRASH_LOG=FILE
// lists the points that it reached. All of this is bare Go, except for init.
var (
	crashAt uint64
	log     *byte // a C string, or nil
	reached uint64
)

const (
	atVariable  = "POOLRUN_CRASH_AT="
	logVariable = "POOLRUN_CRASH_LOG="
)

// A program without the entry point has no other way to the environment.
func init() {
	if crashAt == 0 && log == nil {
		for _, entry := range os.Environ() {
			note(entry + "\x00")
		}
	}
}

// Prepare is described in crash.go.
func Prepare(environ **byte) {
	for ; *environ != nil; environ = (**byte)(unsafe.Add(unsafe.Pointer(environ), unsafe.Sizeof(environ))) {
		note(bare.String(*environ))
	}
}

func note(entry string) {
	if text, found := strings.CutPrefix(entry, atVariable); found {
		crashAt, _ = bare.Number(strings.TrimSuffix(text, "\x00"), 10)
	}
	if text, found := strings.CutPrefix(entry, logVariable); found {
		log = unsafe.StringData(text)
	}
}

// Point kills the process here if the environment says so.
func Point(name string) {
	reached++
	if log != nil {
		fd := bare.Sys(unix.SYS_OPENAT, bare.AtCWD, bare.Pointer(log), unix.O_APPEND|unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
		var buffer [128]byte
		line := bare.In(buffer[:])
		line.Add(name)
		line.Add("\n")
		text := line.String()
		bare.Sys(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.StringData(text))), uintptr(len(text)), 0)
		bare.Sys(unix.SYS_CLOSE, uintptr(fd), 0, 0, 0)
	}
	if reached == crashAt {
		bare.Sys(unix.SYS_KILL, uintptr(bare.Sys(unix.SYS_GETPID, 0, 0, 0, 0)), uintptr(unix.SIGKILL), 0, 0)
		for {
			bare.Sys(unix.SYS_PPOLL, 0, 0, 0, 0)
		}
	}
}
