package supervisor

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

func writeFile(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestLookPath(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "a/cmd", "", 0o755)
	writeFile(t, "b/cmd", "", 0o755)
	writeFile(t, "b/only", "", 0o755)
	writeFile(t, "here", "", 0o755)
	writeFile(t, "a/closed", "", 0o644)
	writeFile(t, "a/reopened", "", 0o644)
	writeFile(t, "b/reopened", "", 0o755)
	writeFile(t, "a/script", "#!/nowhere/sh\n", 0o755)
	writeFile(t, "a/rescued", "#!/nowhere/sh\n", 0o755)
	writeFile(t, "b/rescued", "", 0o755)
	writeFile(t, "a/dir/x", "", 0o755)
	writeFile(t, "b/dir", "", 0o755)
	writeFile(t, "file/cmd", "", 0o755)
	writeFile(t, "a/both", "#!/nowhere/sh\n", 0o755)
	writeFile(t, "b/both", "", 0o644)
	interpreterIsMissing := InterpreterError{"/nowhere/sh", unix.ENOENT}
	for _, test := range []struct {
		path, name, want string
		err              error
	}{
		{"a:b", "cmd", "a/cmd", nil},
		{"b:a", "cmd", "b/cmd", nil},
		{"a:b", "only", "b/only", nil},
		{"nowhere:here:b", "only", "b/only", nil}, // ENOENT, ENOTDIR
		{"a:b", "missing", "", unix.ENOENT},
		{"a:b", "", "", unix.ENOENT},
		{"", "here", "here", nil}, // the working directory
		{"a:", "here", "here", nil},
		{":a", "here", "here", nil},
		{"a::b", "here", "here", nil},
		{"a:b", "here", "", unix.ENOENT},
		{"a:b", "closed", "", unix.EACCES},
		{"a:b", "reopened", "b/reopened", nil},
		{"a:b", "dir", "b/dir", nil}, // a directory is not a command
		{"a", "dir", "", unix.EACCES},
		{"a:b", "script", "", interpreterIsMissing},
		{"a:b", "rescued", "b/rescued", nil},
		{"a:b", "both", "", interpreterIsMissing},
		{"b:a", "both", "", interpreterIsMissing},
		{"a/./:b", "cmd", "a/.//cmd", nil}, // directories are taken as they are
		{"a", "./b/cmd", "./b/cmd", nil},
		{"a", "b/nothing", "b/nothing", unix.ENOENT},
		{"a", "a/closed", "a/closed", unix.EACCES},
		{"a", "a/cmd/x", "a/cmd/x", unix.ENOTDIR},
		{"a", "a/script", "a/script", interpreterIsMissing},
		{"a:b", strings.Repeat("x", 256), "", unix.ENAMETOOLONG},
		{"nowhere", strings.Repeat("x", 256), "", unix.ENAMETOOLONG},
		{strings.Repeat("x", unix.PathMax) + ":a", "cmd", "a/cmd", nil},
	} {
		t.Setenv("PATH", test.path)
		if got, err := LookPath(test.name); got != test.want || err != test.err {
			t.Errorf("%.40q in %.40q: %q, %v", test.name, test.path, got, err)
		}
	}
	os.Unsetenv("PATH")
	if got, err := LookPath("sh"); err != nil || got != "/bin/sh" && got != "/usr/bin/sh" {
		t.Errorf("sh without a PATH: %q, %v", got, err)
	}
}

func TestInterpreterOfAScript(t *testing.T) {
	const limit = 256 // BINPRM_BUF_SIZE
	long := func(length int) string { return "/" + strings.Repeat("x", length-1) }
	for _, test := range []struct{ text, want string }{
		{"#!/bin/sh\n", "/bin/sh"},
		{"#! \t /bin/sh -eu\necho", "/bin/sh"},
		{"#!/bin/sh\t-e\n", "/bin/sh"},
		{"#!/bin/sh", "/bin/sh"}, // no newline at the end
		{"#!sh\n", "sh"},
		{"#!/bin/s\x00h\n", "/bin/s"},
		{"#!\n/bin/sh\n", ""},
		{"#!   \n", ""},
		{"#!", ""},
		{"", ""},
		{"echo\n#!/bin/sh\n", ""},
		{" #!/bin/sh\n", ""},
		{"#!" + long(limit-3) + "\n", long(limit - 3)},
		{"#!" + long(limit-2) + "\n", ""}, // the name has no end within the buffer
		{"#!" + long(limit-3) + " -e\n", long(limit - 3)},
		{"#!" + long(400) + "\n", ""},
		{"#!/bin/sh " + long(400) + "\n", "/bin/sh"}, // only the argument is too long
		{"\x7fELF", ""},
	} {
		path := filepath.Join(t.TempDir(), "script")
		writeFile(t, path, test.text, 0o755)
		if got, kind := inspect(path); got != test.want || (kind == kindScript) != strings.HasPrefix(test.text, "#!") {
			t.Errorf("%.30q (%d bytes): %.30q, %v", test.text, len(test.text), got, kind)
		}
	}
}

// program returns the beginning of an ELF file that names an interpreter, with its one program
// header at an offset.
func program(wide bool, machine uint16, interpreter string, offset int) []byte {
	image := make([]byte, offset+64)
	copy(image, "\x7fELF\x01\x01\x01")
	order := binary.LittleEndian
	order.PutUint16(image[18:], machine)
	header := image[offset:]
	order.PutUint32(header, 3) // PT_INTERP
	if wide {
		image[4] = 2
		order.PutUint64(image[32:], uint64(offset))
		order.PutUint16(image[54:], 56)
		order.PutUint16(image[56:], 1)
		order.PutUint64(header[8:], uint64(len(image)))
		order.PutUint64(header[32:], uint64(len(interpreter)+1))
	} else {
		order.PutUint32(image[28:], uint32(offset))
		order.PutUint16(image[42:], 32)
		order.PutUint16(image[44:], 1)
		order.PutUint32(header[4:], uint32(len(image)))
		order.PutUint32(header[16:], uint32(len(interpreter)+1))
	}
	return append(image, interpreter+"\x00"...)
}

// checkPath is LookPath for a path.
func checkPath(path string) error {
	_, err := LookPath(path)
	return err
}

// inspect returns the interpreter that a file names, and the file's kind.
func inspect(path string) (interpreter string, kind fileKind) {
	var name [unix.PathMax]byte
	kind = interpreterOf(unsafe.StringData(path+"\x00"), name[:])
	return bare.String(&name[0]), kind
}

func TestInterpreterOfAProgram(t *testing.T) {
	machines := []uint16{62, 3} // EM_X86_64, EM_386
	if runtime.GOARCH == "arm64" {
		machines = []uint16{183, 40} // EM_AARCH64, EM_ARM
	}
	path := filepath.Join(t.TempDir(), "program")
	const other = 8 // EM_MIPS
	for _, test := range []struct {
		name  string
		image []byte
		want  string
	}{
		{"64 bits", program(true, machines[0], "/lib64/ld.so", 64), "/lib64/ld.so"},
		{"32 bits", program(false, machines[1], "/lib/ld.so", 52), "/lib/ld.so"},
		{"headers farther on", program(true, machines[0], "/lib64/ld.so", 600), "/lib64/ld.so"},
		{"another machine's", program(true, other, "/lib64/ld.so", 64), ""},
		{"headers across the end of the buffer", program(true, machines[0], "/lib64/ld.so", 1000), ""},
		{"headers beyond the buffer", program(true, machines[0], "/lib64/ld.so", 5000), ""},
	} {
		writeFile(t, path, string(test.image), 0o755)
		if got, kind := inspect(path); got != test.want || kind == kindScript {
			t.Errorf("%s: %q, %v", test.name, got, kind)
		}
	}
	missing := program(true, machines[0], "/nowhere/ld.so", 64)
	for length := range missing { // the kernel refuses a program that is cut short
		writeFile(t, path, string(missing[:length]), 0o755)
		inspect(path)
	}
	writeFile(t, path, string(missing), 0o755)
	if err := checkPath(path); err != error(InterpreterError{"/nowhere/ld.so", unix.ENOENT}) {
		t.Error(err)
	}
	// The dynamic linker has no interpreter, even if it is a script.
	linker := filepath.Join(t.TempDir(), "ld.so")
	writeFile(t, linker, "#!/nowhere/sh\n", 0o755)
	writeFile(t, path, string(program(true, machines[0], linker, 64)), 0o755)
	if err := checkPath(path); err != nil {
		t.Error(err)
	}
}

// The interpreter of a script can be a script. The kernel follows five of them.
func TestAChainOfInterpreters(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/0", "#!/nowhere/sh\n", 0o755)
	for i := 1; i < 8; i++ {
		name := string(rune('0' + i))
		writeFile(t, dir+"/"+name, "#!"+dir+"/"+string(rune('0'+i-1))+"\n", 0o755)
		err := checkPath(dir + "/" + name)
		if missing := i < 5; errors.Is(err, unix.ENOENT) != missing {
			t.Errorf("%d interpreters: %v", i+1, err)
		}
	}
	writeFile(t, dir+"/closed", "#!"+dir+"/plain\n", 0o755)
	writeFile(t, dir+"/plain", "", 0o644)
	if err := checkPath(dir + "/closed"); err != error(InterpreterError{dir + "/plain", unix.EACCES}) {
		t.Error(err)
	}
}
