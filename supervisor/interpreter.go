package supervisor

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"syscall"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// An InterpreterError means that a command's file exists, but the interpreter that the file names
// is missing or cannot be executed. execve(2) returns only ENOENT or EACCES, as if the file itself
// were the reason.
type InterpreterError struct {
	Path  string // the interpreter
	Cause error  // an errno
}

func (e InterpreterError) Error() string {
	if e.Cause == unix.ENOENT {
		return fmt.Sprintf("interpreter %q not found", e.Path)
	}
	return fmt.Sprintf("interpreter %q: %s", e.Path, e.Cause)
}

func (e InterpreterError) Unwrap() error { return e.Cause }

// The functions below are bare Go.

// checkInterpreters returns the error of an interpreter that cannot run: that of a script, of an
// interpreter that is itself a script, or of a dynamically linked program. It returns 0 for a file
// that it cannot read or does not understand; the kernel decides then.
func (s *search) checkInterpreters() syscall.Errno {
	file, interpreter := s.path(), s.memory[s.second:][:unix.PathMax]
	for i := range maxInterpreters {
		kind := interpreterOf(file, interpreter)
		if i == 0 {
			s.isPlain = kind == kindOther
		}
		if interpreter[0] == 0 {
			return 0
		}
		if errno := executable(&interpreter[0]); errno != 0 {
			s.blamesInterpreter = true
			return errno
		}
		if kind != kindScript { // the dynamic linker has no interpreter
			return 0
		}
		file = &interpreter[0]
	}
	return 0
}

const maxInterpreters = 5 // exec_binprm in fs/exec.c

// A fileKind is the format of an executable file.
type fileKind int

const (
	kindOther   fileKind = iota // none of the others; or the file cannot be read
	kindScript                  // it begins with #!
	kindProgram                 // an ELF program for this machine
)

// interpreterOf notes the interpreter that a file names, "" if it names none.
func interpreterOf(path *byte, interpreter []byte) fileKind {
	fd := bare.Sys(unix.SYS_OPENAT, bare.AtCWD, bare.Pointer(path), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	interpreter[0] = 0 // path may lie in the same memory
	if fd < 0 {
		return kindOther
	}
	var buffer [1024]byte
	n := bare.Sys(unix.SYS_PREAD64, uintptr(fd), bare.Pointer(&buffer), uintptr(len(buffer)), 0)
	kind := kindOther
	if n > 0 && n <= len(buffer) {
		head := buffer[:n]
		switch {
		case n >= 2 && head[0] == '#' && head[1] == '!':
			kind = kindScript
			ofScript(head[:min(n, scriptHead)], interpreter)
		case n >= 4 && string(head[:4]) == "\x7fELF":
			kind = ofProgram(fd, head, interpreter)
		}
	}
	bare.Sys(unix.SYS_CLOSE, uintptr(fd), 0, 0, 0)
	return kind
}

// ofScript notes the interpreter in a script's first line, as fs/binfmt_script.c reads it. The
// kernel reads a buffer of fixed size. If a name does not end within it, the file is not a script
// for the kernel, and execvp(3) runs it with /bin/sh.
func ofScript(head, interpreter []byte) {
	at := 2
	for at < len(head) && (head[at] == ' ' || head[at] == '\t') {
		at++
	}
	name, ends := bare.In(interpreter), false
	for ; at < len(head) && !ends; at++ {
		switch c := head[at]; c {
		case ' ', '\t', 0, '\n':
			ends = true
		default:
			name.AddByte(c)
		}
	}
	name.End()
	if !ends && len(head) == scriptHead {
		interpreter[0] = 0
	}
}

const scriptHead = 256 // BINPRM_BUF_SIZE

// isOwnMachine reports whether this machine itself runs programs with this e_machine (elf(5)).
// Programs of other machines run in an emulator, which has interpreters of its own (binfmt_misc).
func isOwnMachine(machine uint16) bool {
	if runtime.GOARCH == "amd64" {
		return machine == 62 || machine == 3
	}
	return machine == 183 || machine == 40
}

// ofProgram notes the interpreter of an ELF file, from its program headers (elf(5)).
func ofProgram(fd int, head, interpreter []byte) fileKind {
	const interpreterType = 3 // PT_INTERP
	order := binary.LittleEndian
	wide := len(head) >= 64 && head[4] == 2 // ELFCLASS64
	if len(head) < 52 || head[5] != 1 {     // ELFDATA2LSB
		return kindOther
	}
	if !isOwnMachine(order.Uint16(head[18:])) {
		return kindOther
	}
	var at, size, count uint64 // of the program headers
	if wide {
		at, size, count = order.Uint64(head[32:]), uint64(order.Uint16(head[54:])), uint64(order.Uint16(head[56:]))
	} else {
		at, size, count = uint64(order.Uint32(head[28:])), uint64(order.Uint16(head[42:])), uint64(order.Uint16(head[44:]))
	}
	for ; count > 0 && at < uint64(len(head)) && size >= 32 && at+size <= uint64(len(head)); at, count = at+size, count-1 {
		header := head[at : at+size]
		if order.Uint32(header) != interpreterType {
			continue
		}
		var offset, length uint64
		if wide && size >= 56 {
			offset, length = order.Uint64(header[8:]), order.Uint64(header[32:])
		} else {
			offset, length = uint64(order.Uint32(header[4:])), uint64(order.Uint32(header[16:]))
		}
		length = min(length, uint64(len(interpreter)-1))
		n := bare.Sys(unix.SYS_PREAD64, uintptr(fd), bare.Pointer(&interpreter[0]), uintptr(length), uintptr(offset))
		interpreter[min(max(n, 0), len(interpreter)-1)] = 0
		break
	}
	return kindProgram
}
