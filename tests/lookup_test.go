package tests

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// poolrun finds the command as execvp(3) does: the same file, or the same exit code. The test
// compares it with env(1).
func TestTheCommandIsFoundAsByExecvp(t *testing.T) {
	name := newPool(t, 1)
	dir := t.TempDir()
	t.Chdir(dir)
	script := func(path, text string, mode os.FileMode) { writeProgram(t, path, text, mode) }
	script("real/bin/found", "#!/bin/sh\necho real\n", 0o755)
	if err := os.MkdirAll("real/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("other", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "real/sub"), "other/link"); err != nil {
		t.Fatal(err)
	}
	script("here", "#!/bin/sh\necho here\n", 0o755)
	script("file/x", "", 0o644)
	script("no/found", "#!/bin/sh\necho no\n", 0o644)
	if err := os.MkdirAll("asdir/found", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", "loop"); err != nil {
		t.Fatal(err)
	}
	script("noscript", "echo without $0\n", 0o755)
	script("crlf", "#!/bin/sh\r\necho\r\n", 0o755)
	script("missing", "#!/no/such/interpreter -x\n", 0o755)
	script("chain", "#!"+dir+"/missing\n", 0o755)
	script("binary", "\x7fELF\x00", 0o755)

	for _, test := range []struct{ path, command, stderr string }{
		{"$D/other/link/../bin", "found", ""},
		{"", "here", ""},
		{"/nowhere:", "here", ""},
		{":/nowhere", "here", ""},
		{"/nowhere::/bin", "here", ""},
		{"-", "ls /dev/null", ""}, // unset
		{"$D/file/x:$D/no:$D/real/bin", "found", ""},
		{"$D/no:/bin", "found", "found: cannot execute: permission denied"},
		{"$D/asdir:/bin", "found", "found: cannot execute: permission denied"},
		{"/bin", "nosuchcommand", "nosuchcommand: command not found"},
		{"/bin", "./nosuch", "./nosuch: command not found"},
		{"/bin", "./here/x", "./here/x: cannot execute: not a directory"},
		{"/bin", "./loop", "./loop: cannot execute: too many levels of symbolic links"},
		{"$D/loop:/bin", "nosuch", "nosuch: cannot execute: too many levels of symbolic links"},
		{"/bin", strings.Repeat("x", 300), "cannot execute: file name too long"},
		{"/bin", "./" + strings.Repeat("x/", 3000), "cannot execute: file name too long"},
		{"/bin", "/", "/: cannot execute: permission denied"},
		{"/bin", "./file/x", "./file/x: cannot execute: permission denied"},
		{"/bin", "./noscript", ""},
		{"/bin", "./missing", `./missing: cannot execute: interpreter "/no/such/interpreter" not found`},
		{"/bin", "./crlf", `./crlf: cannot execute: interpreter "/bin/sh\r" not found`},
		{"/bin", "./chain", `./chain: cannot execute: interpreter "/no/such/interpreter" not found`},
	} {
		args := strings.Fields(test.command)
		env := []string{}
		if test.path != "-" {
			env = append(env, "PATH="+strings.ReplaceAll(test.path, "$D", dir))
		}
		bare := command(t, "/usr/bin/env", args...)
		bare.Env = env
		want, _ := bare.Output()
		cmd := poolrun(t, append([]string{"--pool", name, "--"}, args...)...)
		cmd.Env = env
		var stderr strings.Builder
		cmd.Stderr = &stderr
		got, _ := cmd.Output()
		wantCode := shellCode(bare.ProcessState)
		if strings.Contains(test.stderr, "interpreter") {
			wantCode = 126 // the kernel returns ENOENT for a missing interpreter
		}
		if string(got) != string(want) || shellCode(cmd.ProcessState) != wantCode {
			t.Errorf("PATH=%s %s: %q, exit code %d instead of %q, %d", test.path, test.command, got, shellCode(cmd.ProcessState), want, wantCode)
		}
		if !strings.Contains(stderr.String(), test.stderr) || test.stderr == "" && stderr.Len() > 0 {
			t.Errorf("PATH=%s %s: %q on stderr", test.path, test.command, stderr.String())
		}
	}
}

// poolrun reports a command that cannot run before it waits for a slot.
func TestAMissingInterpreterIsReportedBeforeTheWait(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	program := filepath.Join(t.TempDir(), "job")
	writeProgram(t, program, "#! /no/such/shell\n", 0o755)
	wantResult(t, poolrun(t, "--pool", name, "--", program), 126, `interpreter "/no/such/shell" not found`)
	text, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if patched := strings.Replace(string(text), "/ld-", "/xx-", 1); patched != string(text) {
		writeProgram(t, program, patched, 0o755)
		wantResult(t, poolrun(t, "--pool", name, "--", program), 126, "/xx-linux")
	}
	release()
	wantEmpty(t, name)
}

// The kernel decides whether a program can run, not the interpreter named in its file.
func TestInterpretersAreTheKernelsMatter(t *testing.T) {
	name := newPool(t, 1)
	dir := t.TempDir()
	write := func(path, text string) string {
		path = filepath.Join(dir, path)
		writeProgram(t, path, text, 0o755)
		return path
	}
	write("a/tool", "#!/no/such/interpreter\n")
	write("b/tool", "#!/bin/sh\necho b ran\n")
	cmd := poolrun(t, "--pool", name, "tool")
	cmd.Env = append(cmd.Env, "PATH="+dir+"/a:"+dir+"/b:"+os.Getenv("PATH"))
	wantResult(t, cmd, 0, "b ran")

	long := write("long", "#!/"+strings.Repeat("a", 300)+"\necho it ran\n")
	wantResult(t, poolrun(t, "--pool", name, long), 0, "it ran")

	// A program of another machine (here: s390), which may have an emulator.
	program, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	program[18], program[19] = 22, 0
	program = bytes.ReplaceAll(program, []byte("/ld-linux"), []byte("/no-linux"))
	foreign := write("foreign", string(program))
	if out, _ := poolrun(t, "--pool", name, foreign).CombinedOutput(); bytes.Contains(out, []byte("interpreter")) {
		t.Errorf("%s", out)
	}
	wantEmpty(t, name)
}

// writeProgram writes an executable file, with the directories above it.
func writeProgram(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}
