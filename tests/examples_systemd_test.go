package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unitFiles copies the units of the systemd example, with the poolrun of these tests, into a
// directory of their own.
func unitFiles(t testing.TB) (paths []string) {
	t.Helper()
	units, _ := filepath.Glob(example(t, "systemd") + "/db-*")
	dir := t.TempDir()
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Base(unit))
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/poolrun", binaries.poolrun)), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	if len(paths) != 3 {
		t.Fatalf("%q", paths)
	}
	return paths
}

// systemd-analyze reports unknown settings and missing programs, and exits with 0 in some of these
// cases. It says nothing of a unit that another one names and that does not exist.
func TestSystemdAcceptsTheUnits(t *testing.T) {
	onlyOnce(t)
	needPrograms(t, "systemd-analyze")
	units := unitFiles(t)
	cmd := command(t, "systemd-analyze", append([]string{"verify", "--recursive-errors=no"}, units...)...)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), filepath.Dir(units[0])) || strings.Contains(string(out), "db-") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range regexp.MustCompile(`(?m)^(?:Requires|After)=(.*)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(unit), line[1])); err != nil {
				t.Error(err)
			}
		}
	}
}

// The commands of the services work, as the users that the services run as. Starting the pool twice
// leaves it as it is, and the job is the main process of its service.
func TestTheServicesMakeAPoolAndRunAJobInIt(t *testing.T) {
	onlyOnce(t)
	needRoot(t)
	name := freeName(t)
	dump := filepath.Join(binaries.dir, "dump") // in a directory that all users can read
	writeScript(t, dump, "echo $(id -un) $$; exit 7")
	commands := map[string]string{}
	for _, unit := range unitFiles(t) {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		if line := regexp.MustCompile(`(?m)^ExecStart=(.*)`).FindStringSubmatch(string(text)); line != nil {
			line := strings.NewReplacer("${POOL}", name, "${DUMP}", dump).Replace(line[1])
			commands[filepath.Base(unit)] = "exec " + line
		}
	}
	for range 2 {
		wantResult(t, command(t, "sh", "-c", commands["db-pool.service"]), 0, "^$")
		wantEmpty(t, name)
	}
	job := command(t, "setpriv", "--reuid", "backup", "--regid", "backup", "--init-groups", "sh", "-c", commands["db-dump.service"])
	next := startLines(t, job)
	wantLine(t, next, fmt.Sprint("backup ", job.Process.Pid))
	wantExit(t, 7, job)
	wantEmpty(t, name)
}
