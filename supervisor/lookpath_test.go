package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
		{"a/./:b", "cmd", "a/.//cmd", nil}, // directories are taken as they are
		{"a", "./b/cmd", "./b/cmd", nil},
		{"a", "b/nothing", "b/nothing", unix.ENOENT},
		{"a", "a/closed", "a/closed", unix.EACCES},
		{"a", "a/cmd/x", "a/cmd/x", unix.ENOTDIR},
		{"a", "a/script", "a/script", interpreterIsMissing},
		{"a:b", strings.Repeat("x", 256), "", unix.ENAMETOOLONG},
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
		if got, isScript := interpreterOf(path); got != test.want || isScript != strings.HasPrefix(test.text, "#!") {
			t.Errorf("%.30q (%d bytes): %.30q, %v", test.text, len(test.text), got, isScript)
		}
	}
}

func TestInterpreterOfAProgram(t *testing.T) {
	self, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "program")
	writeFile(t, path, string(self), 0o755)
	got, isScript := interpreterOf(path)
	if got == "" || got[0] != '/' || isScript {
		t.Skipf("/bin/sh names no interpreter: %q", got)
	}
	if err := checkInterpreters(path); err != nil {
		t.Error(err)
	}
	broken := strings.Replace(string(self), got, "/nowhere"+strings.Repeat("\x00", len(got)-len("/nowhere")), 1)
	writeFile(t, path, broken, 0o755)
	if err := checkInterpreters(path); err != error(InterpreterError{"/nowhere", unix.ENOENT}) {
		t.Error(err)
	}
	for length := range 200 { // a program cut short is the kernel's to refuse
		writeFile(t, path, broken[:length], 0o755)
		if err := checkInterpreters(path); err != nil {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
}

// The interpreter of a script can be a script. The kernel limits how often.
func TestAChainOfInterpreters(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/0", "#!/nowhere/sh\n", 0o755)
	for i := 1; i < 8; i++ {
		name := string(rune('0' + i))
		writeFile(t, dir+"/"+name, "#!"+dir+"/"+string(rune('0'+i-1))+"\n", 0o755)
		err := checkInterpreters(dir + "/" + name)
		if missing := i < maxInterpreters; errors.Is(err, unix.ENOENT) != missing {
			t.Errorf("%d interpreters: %v", i+1, err)
		}
	}
	writeFile(t, dir+"/closed", "#!"+dir+"/plain\n", 0o755)
	writeFile(t, dir+"/plain", "", 0o644)
	if err := checkInterpreters(dir + "/closed"); err != error(InterpreterError{dir + "/plain", unix.EACCES}) {
		t.Error(err)
	}
}
