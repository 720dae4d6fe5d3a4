package names

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// fakeGetent puts a getent first in PATH that runs this script, and forgets what the
// real one has said.
func fakeGetent(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "getent"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	forget := func() { answers.entries, answers.silent = nil, false }
	forget()
	t.Cleanup(forget)
}

func TestGetentIsAskedForWhatTheFilesDoNotKnow(t *testing.T) {
	fakeGetent(t, `
		case "$1 $2" in
		"passwd 4123456789") echo "ann:x:4123456789:1::/:/bin/sh" ;;
		"passwd 4123456788") echo "not the one:x:4123456789:1::/:/bin/sh" ;;
		"group Team") echo "team:x:4123456000:ann,bob" ;;
		"group odd") echo "odd:x:many:" ;;
		*) exit 2 ;;
		esac`)
	for uid, want := range map[uint32]string{4123456789: "ann", 4123456788: "uid 4123456788", 4123456787: "uid 4123456787", 0: "root"} {
		if got := User(uid); got != want {
			t.Errorf("user %d is called %q, not %q", uid, got, want)
		}
	}
	for name, want := range map[string]int{"Team": 4123456000, "root": 0, "17": 17, "4294967294": 4294967294} {
		if got, err := Group(name); got != want || err != nil {
			t.Errorf("group %s is %d, %v, not %d", name, got, err, want)
		}
	}
	for _, name := range []string{"", "none", "odd", "-1", "--help", "a:b", "4294967295", "99999999999"} {
		if got, err := Group(name); err == nil {
			t.Errorf("group %q is %d", name, got)
		}
	}
}

func TestGetentIsAskedOnce(t *testing.T) {
	asked := filepath.Join(t.TempDir(), "asked")
	fakeGetent(t, "echo $2 >>"+asked)
	for range 3 {
		User(4123456789)
	}
	if text, _ := os.ReadFile(asked); string(text) != "4123456789\n" {
		t.Errorf("asked for %q", text)
	}
}

// A directory that does not answer is given up, for all names.
func TestAGetentThatHangsIsGivenUp(t *testing.T) {
	fakeGetent(t, "exec sleep 1000")
	began := time.Now()
	for uid := uint32(4123456000); uid < 4123456050; uid++ {
		if got, want := User(uid), "uid "+strconv.FormatUint(uint64(uid), 10); got != want {
			t.Errorf("%q instead of %q", got, want)
		}
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("50 names took %v", took)
	}
}

func TestWithoutGetentNumbersAreShown(t *testing.T) {
	fakeGetent(t, "")
	t.Setenv("PATH", t.TempDir())
	if got := User(4123456789); got != "uid 4123456789" {
		t.Error(got)
	}
}
