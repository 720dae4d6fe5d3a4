package supervisor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"

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

// checkInterpreters returns an InterpreterError if an interpreter cannot run: that of a script, of
// an interpreter that is itself a script, or of a dynamically linked program. It returns nil for a
// file that it cannot read or does not understand; the kernel decides then.
func checkInterpreters(path string) error {
	for range maxInterpreters {
		interpreter, isScript := interpreterOf(path)
		if interpreter == "" {
			return nil
		}
		if err := executable(interpreter); err != nil {
			return InterpreterError{interpreter, err}
		}
		if !isScript { // the dynamic linker has no interpreter
			return nil
		}
		path = interpreter
	}
	return nil
}

const maxInterpreters = 5 // exec_binprm in fs/exec.c

// interpreterOf returns the interpreter that a file names, or "" if it names none.
func interpreterOf(path string) (interpreter string, isScript bool) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	var buffer [1024]byte
	n, err := unix.Pread(fd, buffer[:], 0)
	if err != nil {
		return "", false
	}
	head := buffer[:n]
	switch {
	case bytes.HasPrefix(head, []byte("#!")):
		return ofScript(head[:min(n, scriptHead)]), true
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return ofProgram(fd, head), false
	}
	return "", false
}

// ofScript returns the interpreter in a script's first line, as fs/binfmt_script.c reads it. The
// kernel reads a buffer of fixed size. If a name does not end within it, the file is not a script
// for the kernel, and execvp(3) runs it with /bin/sh: "".
func ofScript(head []byte) string {
	line, _, ends := bytes.Cut(head[2:], []byte("\n"))
	line = bytes.TrimLeft(line, " \t")
	if end := bytes.IndexAny(line, " \t\x00"); end >= 0 {
		line = line[:end]
	} else if !ends && len(head) == scriptHead {
		return ""
	}
	return string(line)
}

const scriptHead = 256 // BINPRM_BUF_SIZE

// machines are the values of e_machine (elf(5)) whose programs this machine runs itself. Programs
// of other machines run in an emulator, which has interpreters of its own (binfmt_misc).
var machines = map[string][]uint16{"amd64": {62, 3}, "arm64": {183, 40}}[runtime.GOARCH]

// ofProgram returns the interpreter of an ELF file, from its program headers (elf(5)).
func ofProgram(fd int, head []byte) string {
	const interpreterType = 3 // PT_INTERP
	order := binary.LittleEndian
	wide := len(head) >= 64 && head[4] == 2 // ELFCLASS64
	if len(head) < 52 || head[5] != 1 {     // ELFDATA2LSB
		return ""
	}
	if !slices.Contains(machines, order.Uint16(head[18:])) {
		return ""
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
		name := make([]byte, min(length, unix.PathMax))
		n, _ := unix.Pread(fd, name, int64(offset))
		name, _, _ = bytes.Cut(name[:max(n, 0)], []byte{0})
		return string(name)
	}
	return ""
}
