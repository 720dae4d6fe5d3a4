package supervisor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// A BadInterpreter is that a command's file is there, and what is to run it is not, or
// cannot be executed. execve(2) says no more than ENOENT then, as if the file were
// missing.
type BadInterpreter struct {
	Path  string
	Cause error
}

func (b BadInterpreter) Error() string {
	if b.Cause == unix.ENOENT {
		return fmt.Sprintf("interpreter %q not found", b.Path)
	}
	return fmt.Sprintf("interpreter %q: %s", b.Path, b.Cause)
}

func (b BadInterpreter) Unwrap() error { return b.Cause }

// checkInterpreters returns a BadInterpreter if there is one: of a script, of the
// script that runs the script, or of a program that is dynamically linked. What cannot
// be read, or is not understood, is left to the kernel.
func checkInterpreters(path string) error {
	for range maxInterpreters {
		interpreter, isScript := interpreterOf(path)
		if interpreter == "" {
			return nil
		}
		if err := executable(interpreter); err != nil {
			return BadInterpreter{interpreter, err}
		}
		if !isScript { // a program's interpreter needs none
			return nil
		}
		path = interpreter
	}
	return nil
}

const maxInterpreters = 5 // fs/exec.c, exec_binprm

// interpreterOf returns what a file names as its interpreter, "" for none.
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

// ofScript reads the line after #! as fs/binfmt_script.c does. A name that has no end
// within the buffer makes the file none of its scripts, but one of /bin/sh.
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

// machines are those whose programs this one's can run, by e_machine of elf(5). Any other
// is for an emulator, with files of its own (binfmt_misc).
var machines = map[string][]uint16{"amd64": {62, 3}, "arm64": {183, 40}}[runtime.GOARCH]

// ofProgram reads the interpreter's name of an ELF file, elf(5).
func ofProgram(fd int, head []byte) string {
	const ofInterpreter = 3 // PT_INTERP
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
		if order.Uint32(header) != ofInterpreter {
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
