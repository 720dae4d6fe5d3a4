package tests

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Releases are made from copies of the source tree.

var architectures = []string{"amd64", "arm64"}

// packaged are the programs that have packages of their own.
var packaged = []struct {
	name, dir, module string
	links             string // one of the modules that it is linked from
	version           []string
	says              string   // a regular expression
	files             []string // in a tarball
}{
	{
		"poolrun", "..", "github.com/poolrun/poolrun", "github.com/alecthomas/kong", []string{"version"}, `^poolrun 1\.2\.3, commit abc, ` + regexp.QuoteMeta(runtime.Version()) + "\n$",
		[]string{
			"poolrun", "README.md", "LICENSE", "CHANGELOG.md", "copyright", "man1/poolrun.1", "docs/design.md", "examples/cron/crontab", "examples/make/Makefile",
			"completions/poolrun.bash", "completions/_poolrun", "completions/poolrun.fish",
		},
	},
	{
		"poolrun-etcd", "../cluster", "github.com/poolrun/poolrun/cluster", "go.etcd.io/etcd/client/v3", []string{"--version"}, `^poolrun-etcd 1\.2\.3\n$`,
		[]string{"poolrun-etcd", "LICENSE", "Apache-2.0", "copyright", "man7/poolrun-etcd.7"},
	},
}

// withUmask runs a command, which must succeed.
func withUmask(t testing.TB, umask string, env []string, args ...string) {
	t.Helper()
	cmd := command(t, "/bin/sh", append([]string{"-c", `umask "$0"; exec "$@"`, umask}, args...)...)
	cmd.Env = append(cmd.Env, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

// copySource copies the source tree, without git's files and without results.
func copySource(t testing.TB, umask string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"cp", "-R", "-t", dir}
	for _, entry := range entries {
		if !slices.Contains([]string{".git", "build", "dist", "poolrun", "poolrun-etcd", "etcd", "pool_server", "pool_client"}, entry.Name()) {
			args = append(args, filepath.Join("..", entry.Name()))
		}
	}
	withUmask(t, umask, nil, args...)
	return dir
}

// The version and the date of a release.
const (
	releaseVersion = "1.2.3"
	releaseDate    = 1800000000
)

// makeRelease makes parts of a release in a copy of the source tree, and returns the directory of the results.
func makeRelease(t testing.TB, source, umask string, env []string, args ...string) (dist string) {
	t.Helper()
	args = append([]string{"make", "-C", source, "VERSION=" + releaseVersion, "COMMIT=abc", fmt.Sprint("SOURCE_DATE_EPOCH=", releaseDate)}, args...)
	withUmask(t, umask, env, args...)
	return filepath.Join(source, "dist")
}

// The results depend neither on the place, nor on the umask, nor on the environment.
func TestARelease(t *testing.T) {
	onlyOnce(t)
	dist := makeRelease(t, copySource(t, "022"), "022", nil, "dist")
	t.Run("has the same bytes everywhere", func(t *testing.T) {
		other := makeRelease(t, copySource(t, "077"), "077", []string{"GOFLAGS=-tags=nodirect", "GOARCH=arm64", "TZ=Asia/Tokyo", "LC_ALL=C.UTF-8"}, "dist")
		wantSameFiles(t, "*", dist, other)
	})
	t.Run("has checksums", func(t *testing.T) {
		check := command(t, "sha256sum", "--check", "--strict", "SHA256SUMS")
		check.Dir = dist
		wantResult(t, check, 0, `^(poolrun-(etcd-)?1\.2\.3-linux-\S+: OK\n){8}$`)
	})
	for _, p := range packaged {
		for _, arch := range architectures {
			name := p.name + "-" + releaseVersion + "-linux-" + arch
			program := filepath.Join(t.TempDir(), p.name)
			of := " on " + arch + ": " + p.name
			t.Run("is packed for root"+of, func(t *testing.T) { unpack(t, filepath.Join(dist, name+".tar.gz"), name, program, p.files) })
			t.Run("is static"+of, func(t *testing.T) { wantStatic(t, program, arch) })
			t.Run("lists what is linked"+of, func(t *testing.T) {
				modules := linkedModules(t, p.dir, arch)
				wantLinked(t, filepath.Join(dist, name+".cdx.json"), program, p.module, modules)
				if !strings.Contains(strings.Join(modules, "\n"), p.links+" v") {
					t.Errorf("%s is not in %q", p.links, modules)
				}
			})
			t.Run("runs"+of, func(t *testing.T) {
				args := append([]string{program}, p.version...)
				if arch != runtime.GOARCH {
					args = append([]string{map[string]string{"amd64": "qemu-x86_64", "arm64": "qemu-aarch64"}[arch]}, args...)
				}
				if _, err := exec.LookPath(args[0]); err != nil {
					t.Skip(err)
				}
				wantResult(t, command(t, args[0], args[1:]...), 0, p.says)
			})
		}
	}
}

// wantSameFiles checks that the files of a directory whose names match are the same in another one.
func wantSameFiles(t *testing.T, pattern, dir, other string) {
	t.Helper()
	paths, _ := filepath.Glob(filepath.Join(dir, pattern))
	if len(paths) == 0 {
		t.Errorf("no files %s in %s", pattern, dir)
	}
	for _, path := range paths {
		a, _ := os.ReadFile(path)
		b, err := os.ReadFile(filepath.Join(other, filepath.Base(path)))
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs (%v)", filepath.Base(path), err)
		}
	}
}

// unpack checks a tarball, which has some files, and extracts the program.
func unpack(t *testing.T, tarball, top, program string, files []string) {
	f, err := os.Open(tarball)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	decompressed, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for archive := tar.NewReader(decompressed); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		executable := header.Typeflag == tar.TypeDir || path.Base(header.Name) == filepath.Base(program) || strings.HasSuffix(header.Name, ".sh") || strings.HasSuffix(header.Name, ".py")
		if mode := map[bool]int64{true: 0o755, false: 0o644}[executable]; header.Mode != mode || header.Uid != 0 || header.Gid != 0 || !header.ModTime.Equal(time.Unix(releaseDate, 0)) {
			t.Errorf("%s: mode %o, user %d, group %d, %v", header.Name, header.Mode, header.Uid, header.Gid, header.ModTime)
		}
		name, inside := strings.CutPrefix(header.Name, top+"/")
		if !inside {
			t.Errorf("%s is not in %s", header.Name, top)
		}
		names = append(names, name)
		if name == filepath.Base(program) {
			content, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(program, content, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, want := range files {
		if !slices.Contains(names, want) {
			t.Errorf("no %s in %q", want, names)
		}
	}
}

// wantStatic checks that a program needs neither an interpreter nor libraries.
func wantStatic(t *testing.T, program, arch string) {
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]; f.Machine != want {
		t.Errorf("the machine is %v", f.Machine)
	}
	for _, segment := range f.Progs {
		if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
			t.Errorf("the program has a segment %v", segment.Type)
		}
	}
}

// linkedModules returns the modules of the packages that a program is linked from, with their versions.
func linkedModules(t *testing.T, dir, arch string) (modules []string) {
	const format = "{{if .Standard}}stdlib{{else if not .Module.Main}}{{.Module.Path}} {{if .Module.Replace}}v" + releaseVersion + "{{else}}{{.Module.Version}}{{end}}{{end}}"
	cmd := command(t, "go", "list", "-deps", "-f", format)
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "CGO_ENABLED=0", "GOARCH="+arch)
	out, _ := outputs(t, cmd)
	for module := range strings.Lines(out) {
		module = strings.TrimSpace(module)
		if module == "stdlib" {
			module += " " + strings.TrimPrefix(runtime.Version(), "go")
		}
		if module != "" {
			modules = append(modules, module)
		}
	}
	slices.Sort(modules)
	return slices.Compact(modules)
}

// wantLinked checks that a list in the form of CycloneDX describes a program, and has these modules and no others.
func wantLinked(t *testing.T, path, program, module string, want []string) {
	type component struct {
		Name, Version, PURL string
		Hashes              []struct{ Alg, Content string }
	}
	var list struct {
		BOMFormat, SpecVersion string
		Metadata               struct{ Component component }
		Components             []component
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list.Components {
		got = append(got, c.Name+" "+c.Version)
		if c.PURL != "pkg:golang/"+c.Name+"@"+c.Version || len(c.Hashes) == 0 && c.Name != "stdlib" && c.Name != "github.com/poolrun/poolrun" {
			t.Errorf("the component %+v", c)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the list has %q, and linked are %q", got, want)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(content))
	if c := list.Metadata.Component; list.BOMFormat != "CycloneDX" || c.Name != module || c.Version != "v"+releaseVersion || len(c.Hashes) != 1 || c.Hashes[0].Content != sum {
		t.Errorf("%s %s describes %+v instead of a program with the sum %s", list.BOMFormat, list.SpecVersion, c, sum)
	}
}

func TestInstallPutsAllFilesInTheirPlaces(t *testing.T) {
	onlyOnce(t)
	dir := t.TempDir()
	withUmask(t, "077", nil, "make", "-C", copySource(t, "022"), "install", "DESTDIR="+dir, "PREFIX=/usr")
	for path, mode := range map[string]os.FileMode{
		"bin/poolrun": 0o755, "share/man/man1/poolrun.1": 0o644, "bin/poolrun-etcd": 0o755, "share/man/man7/poolrun-etcd.7": 0o644,
	} {
		if info, err := os.Stat(filepath.Join(dir, "usr", path)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v", path, err)
		}
	}
	wantCompletions(t, dir, "zsh/site-functions/_poolrun")
}

// wantCompletions checks the files of the completions below a directory: they are what the program there prints.
func wantCompletions(t *testing.T, dir, zsh string) {
	t.Helper()
	for shell, path := range map[string]string{"bash": "bash-completion/completions/poolrun", "zsh": zsh, "fish": "fish/vendor_completions.d/poolrun.fish"} {
		want, _ := outputs(t, command(t, filepath.Join(dir, "usr/bin/poolrun"), "completion", shell))
		if got, err := os.ReadFile(filepath.Join(dir, "usr/share", path)); err != nil || string(got) != want || want == "" {
			t.Errorf("%s: %v, %q instead of %q", path, err, got, want)
		}
	}
}
