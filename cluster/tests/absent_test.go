package tests

import (
	"os"
	"path/filepath"
	"testing"
)

// What is not offered for pools on etcd is told, and nothing else happens.
func TestWhatIsNotOfferedIsRefused(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	for _, args := range [][]string{
		{"barrier", url, "--parties", "2"},
		{"repair", url},
		{"path", url},
		{"--pool", url, "--jobserver", "true"},
		{"--pool", url, "--jobserver=pipe", "true"},
	} {
		wantRefused(t, "not offered for pools that several machines share", poolrun(t, args...))
	}
	wantEmpty(t, url)
}

// Without its engine, poolrun says what to install, and local pools still work.
func TestAMissingEngineIsNamed(t *testing.T) {
	t.Parallel()
	alone := filepath.Join(linkAlone(t), "poolrun")
	for _, args := range [][]string{{"--pool", "etcd:///db", "true"}, {"status", "etcd:///db"}, {"list", "etcd:///"}, {"init", "etcd:///db", "--size", "1"}} {
		wantRefused(t, "poolrun-etcd is not installed", with(command(t, alone, args...), "PATH=/bin:/usr/bin"))
	}
	wantResult(t, with(command(t, alone, "version"), "PATH=/bin:/usr/bin"), 0, "poolrun")
}

// An engine that ends at once, as for lack of memory, is told as what it is.
func TestAnEngineThatCannotStartIsTold(t *testing.T) {
	t.Parallel()
	dir := linkAlone(t)
	must(t, os.Symlink("/bin/true", filepath.Join(dir, "poolrun-etcd")))
	for _, args := range [][]string{{"--pool", "etcd:///db", "true"}, {"status", "etcd:///db"}} {
		wantRefused(t, "^poolrun: cannot use pool etcd:///db: its engine ended as soon as it had started.*ulimit -v", command(t, filepath.Join(dir, "poolrun"), args...))
	}
}

// linkAlone links poolrun into a directory in which its engine is not. (A file that was just written may still be open for
// writing in the child of another test, and cannot be executed then.)
func linkAlone(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	must(t, os.Link(binaries.poolrun, filepath.Join(dir, "poolrun")))
	return dir
}

// The program is no tool for people.
func TestTheEngineRefusesPeople(t *testing.T) {
	t.Parallel()
	wantResult(t, command(t, binaries.agent), 2, "^poolrun-etcd: this program is started by poolrun")
	wantResult(t, command(t, binaries.agent, "--version"), 0, "^poolrun-etcd ")
}
