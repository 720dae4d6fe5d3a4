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
	dir := t.TempDir()
	alone := filepath.Join(dir, "poolrun")
	text, err := os.ReadFile(binaries.poolrun)
	must(t, err)
	must(t, os.WriteFile(alone, text, 0o755))
	for _, args := range [][]string{{"--pool", "etcd:///db", "true"}, {"status", "etcd:///db"}, {"list", "etcd:///"}, {"init", "etcd:///db", "--size", "1"}} {
		wantRefused(t, "poolrun-etcd is not installed", with(command(t, alone, args...), "PATH=/bin:/usr/bin"))
	}
	wantResult(t, with(command(t, alone, "version"), "PATH=/bin:/usr/bin"), 0, "poolrun")
}

// The program is no tool for people.
func TestTheEngineRefusesPeople(t *testing.T) {
	t.Parallel()
	wantResult(t, command(t, binaries.agent), 2, "^poolrun-etcd: this program is started by poolrun")
	wantResult(t, command(t, binaries.agent, "--version"), 0, "^poolrun-etcd ")
}
