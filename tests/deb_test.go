package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// needDpkg skips a test on a machine that cannot make Debian packages.
func needDpkg(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip(err)
	}
}

func TestADebianPackage(t *testing.T) {
	onlyOnce(t)
	needDpkg(t)
	dist := makeRelease(t, copySource(t, "022"), "022", nil, "deb")
	elsewhere := copySource(t, "077")
	t.Run("has the same bytes everywhere", func(t *testing.T) {
		other := makeRelease(t, elsewhere, "077", []string{"TZ=Asia/Tokyo", "DPKG_DEB_COMPRESSOR_TYPE=gzip"}, "deb", "ARCH=arm64")
		wantSameFiles(t, "*_arm64.deb", dist, other)
	})
	t.Run("has no errors", func(t *testing.T) {
		if _, err := exec.LookPath("lintian"); err != nil {
			t.Skip(err)
		}
		wantResult(t, command(t, "lintian", append([]string{"--fail-on", "error"}, debs(t, dist, "*")...)...), 0, "")
	})
	t.Run("is upgraded and removed while a pool is in use", func(t *testing.T) {
		needRoot(t)
		earlier := makeRelease(t, elsewhere, "022", nil, "deb", "ARCH="+runtime.GOARCH, "VERSION=1.2.3-dev.20270115080000.gabc")
		upgrade(t, debs(t, earlier, runtime.GOARCH), debs(t, dist, runtime.GOARCH))
	})
}

// debs returns the Debian packages of all programs for an architecture, or for all of them: *.
func debs(t testing.TB, dist, arch string) (paths []string) {
	t.Helper()
	for _, p := range packaged {
		found, _ := filepath.Glob(filepath.Join(dist, p.name+"_*_"+arch+".deb"))
		if len(found) == 0 {
			t.Fatalf("no package of %s for %s", p.name, arch)
		}
		paths = append(paths, found...)
	}
	return paths
}

// A system is a directory into which dpkg(1) installs packages.
type system string

func newSystem(t testing.TB) system {
	t.Helper()
	s := system(t.TempDir())
	for _, dir := range []string{"updates", "info"} {
		if err := os.MkdirAll(s.path("var/lib/dpkg/"+dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.path("var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s system) path(name string) string { return filepath.Join(string(s), name) }

// dpkg prepares a run of dpkg(1). --path-include overrides the configuration of a machine that leaves out documentation.
func (s system) dpkg(t testing.TB, args ...string) *exec.Cmd {
	cmd := command(t, "dpkg", append([]string{"--root=" + string(s), "--log=" + s.path("dpkg.log"), "--path-include=/usr/*"}, args...)...)
	cmd.Env = append(cmd.Env, "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C")
	return cmd
}

// upgrade installs, upgrades and removes packages. The commands that run, the waiters, and the pool itself outlive the
// program that they came from.
func upgrade(t *testing.T, before, after []string) {
	s := newSystem(t)
	wantResult(t, s.dpkg(t, append([]string{"--install"}, before...)...), 0, "")
	wantResult(t, s.dpkg(t, "--verify", "poolrun", "poolrun-etcd"), 0, "^$")
	installed := s.path("usr/bin/poolrun")
	wantResult(t, command(t, installed, "version"), 0, `^poolrun 1\.2\.3-dev\.\S+, commit abc, `)
	wantPackaged(t, s)

	name := freeName(t)
	gate := filepath.Join(t.TempDir(), "gate")
	wantResult(t, command(t, installed, "init", name, "--size", "1"), 0, "^$")
	holder := mustStart(t, command(t, installed, "--pool", name, "await-file", gate))
	waitForCommand(t, name)
	waiter := mustStart(t, command(t, installed, "--pool", name, "true"))
	waitForLine(t, name, 1)

	wantResult(t, s.dpkg(t, append([]string{"--refuse-downgrade", "--install"}, after...)...), 0, "")
	for _, cmd := range []*exec.Cmd{holder, waiter} {
		if program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid)); err != nil || !strings.HasSuffix(program, " (deleted)") {
			t.Errorf("%q runs %s, %v", cmd.Args, program, err)
		}
	}
	wantResult(t, command(t, installed, "version"), 0, `^poolrun 1\.2\.3, commit abc, `)
	wantResult(t, command(t, s.path("usr/bin/poolrun-etcd"), "--version"), 0, `^poolrun-etcd 1\.2\.3\n$`)
	wantResult(t, command(t, installed, "--pool", name, "-n", "true"), 75, "")
	late := mustStart(t, command(t, installed, "--pool", name, "true"))
	waitForLine(t, name, 2)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantExit(t, 0, holder, waiter, late)
	wantEmpty(t, name)

	gate += "-2"
	holder = mustStart(t, command(t, installed, "--pool", name, "await-file", gate))
	waitForCommand(t, name)
	wantResult(t, s.dpkg(t, "--remove", "poolrun"), 1, "") // poolrun-etcd needs it
	wantResult(t, s.dpkg(t, "--remove", "poolrun", "poolrun-etcd"), 0, "")
	left, _ := filepath.Glob(s.path("var/lib/dpkg/info/poolrun*"))
	if _, err := os.Stat(s.path("usr")); err == nil || len(left) > 0 {
		t.Errorf("files are left behind: %q", left)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantExit(t, 0, holder)
	wantUsable(t, name)
	if n := statusOf(t, name).Counters.Acquired; n != 5 {
		t.Errorf("%d slots acquired", n)
	}
}

// wantPackaged checks the files of the installed packages.
func wantPackaged(t *testing.T, s system) {
	t.Helper()
	for _, path := range []string{
		"usr/share/man/man7/poolrun-etcd.7.gz", "usr/share/doc/poolrun-etcd/copyright", "usr/share/doc/poolrun-etcd/changelog.gz",
		"usr/share/man/man1/poolrun.1.gz", "usr/share/doc/poolrun/copyright", "usr/share/doc/poolrun/changelog.gz",
		"usr/share/doc/poolrun/README.md", "usr/share/doc/poolrun/examples/xargs/compress.sh",
	} {
		if info, err := os.Stat(s.path(path)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
	wantCompletions(t, string(s), "zsh/vendor-completions/_poolrun")
}
