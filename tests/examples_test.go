package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestTheServerAndTheClientShareAPool(t *testing.T) {
	name := freeName(t)
	server := command(t, filepath.Join(binaries.dir, "pool_server"), "--size", "4", "--pool", name, "--every", "5ms")
	next := startLines(t, server)
	for _, want := range []string{": serving 4 slots", ": 0 in use, 4 available, 0 waiting"} {
		wantLine(t, next, name+want)
	}
	client := command(t, filepath.Join(binaries.dir, "pool_client"), "--hold", "1000", "--pool", name)
	clientSays := startLines(t, client)
	wantLine(t, clientSays, name+": slot 0 acquired")
	wantLine(t, next, name+": 1 in use, 3 available, 0 waiting")
	client.Process.Signal(syscall.SIGTERM)
	wantLine(t, clientSays, name+": slot 0 released")
	wantExit(t, 0, client)
	wantLine(t, next, name+": 0 in use, 4 available, 0 waiting")
	server.Process.Signal(syscall.SIGTERM)
	wantLine(t, next, name+": removed")
	wantExit(t, 0, server)
	wantNothingLeft(t, name)
	out, err := command(t, filepath.Join(binaries.dir, "pool_client"), "--pool", name).CombinedOutput()
	if err == nil || string(out) != "pool_client: no pool "+name+"\n" {
		t.Errorf("a client without a server: %v %s", err, out)
	}
}

func TestTheXargsExampleCompressesEveryFile(t *testing.T) {
	name := freeName(t)
	dir := t.TempDir()
	for i := range 10 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("file with spaces ", i)), []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := command(t, "../examples/xargs.sh", dir)
	cmd.Env = append(cmd.Env, "POOL="+name)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v %s", err, out)
	}
	if files, _ := filepath.Glob(dir + "/*.gz"); len(files) != 10 {
		t.Errorf("%d files compressed", len(files))
	}
	wantEmpty(t, name)
	if n := statusOf(t, name).Counters.Acquired; n != 10 {
		t.Errorf("%d slots acquired", n)
	}
}

// The test runs the jobs of the crontab as cron(8) does: by sh -c, in an environment of
// little more than the crontab's own variables.
func TestTheCronExampleRunsOneJobAtATime(t *testing.T) {
	name := freeName(t)
	dir := t.TempDir()
	mine := map[string]string{
		"POOLRUN_POOL": name, "SOURCE": "../examples",
		"BACKUP": filepath.Join(dir, "backup.tar.gz"), "STAMP": filepath.Join(dir, "stamp"),
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "SHELL=/bin/sh"}
	var jobs []string
	crontab, err := os.ReadFile("../examples/crontab")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(crontab)) {
		line = strings.TrimSpace(line)
		variable, value, isVariable := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case isVariable && !strings.ContainsAny(variable, " *"):
			if _, ok := mine[variable]; ok {
				value = mine[variable]
			}
			env = append(env, variable+"="+value)
		default:
			_, job, _ := strings.Cut(line, "poolrun ")
			jobs = append(jobs, "poolrun "+job)
		}
	}
	if len(jobs) != 2 {
		t.Fatalf("jobs %q", jobs)
	}
	run := func(job string) {
		t.Helper()
		cmd := command(t, "/bin/sh", "-c", job)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v %s", job, err, out)
		}
	}
	run(jobs[0])
	if err := exec.Command("tar", "-tzf", mine["BACKUP"]).Run(); err != nil {
		t.Error("no backup:", err)
	}
	release := holdSlot(t, name)
	run(jobs[1])
	if _, err := os.Stat(mine["STAMP"]); err == nil {
		t.Error("two jobs ran at once")
	}
	release()
	run(jobs[1])
	if _, err := os.Stat(mine["STAMP"]); err != nil {
		t.Error(err)
	}
	wantEmpty(t, name)
}

func TestTheMakeExampleKeepsTheLimit(t *testing.T) {
	name := freeName(t)
	dir := t.TempDir()
	overlaps := overlapDir(filepath.Join(dir, "overlaps"))
	cmd := command(t, "make", "-C", "../examples/make", "-j", "16", "--no-print-directory",
		"POOL="+name, "OUT="+dir+"/", "WORK=overlap "+overlaps+" 2")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Errorf("%v %s", err, stderr.String())
	}
	if ran, most := mostSeen(overlaps); ran != 12 || most != 2 {
		t.Errorf("%d recipes ran, at most %d at once", ran, most)
	}
	whole, err := os.ReadFile(dir + "/whole")
	if lines := bytes.Count(whole, []byte("\n")); err != nil || lines != 12 {
		t.Errorf("%d lines instead of 12, %v", lines, err)
	}
	wantEmpty(t, name)
}

// A make that poolrun starts finds the jobserver of the make that started poolrun.
func TestTheJobserverOfMakePasses(t *testing.T) {
	name := newPool(t, 1)
	dir := t.TempDir()
	makefile := "all:\n\t+@poolrun --pool " + name + " -- $(MAKE) --no-print-directory below\nbelow: a b\na b:\n\t@echo $@\n"
	if err := os.WriteFile(filepath.Join(dir, "Makefile"), []byte(makefile), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "make", "-C", dir, "-j", "2", "--no-print-directory")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "jobserver") || strings.Count(string(out), "\n") != 2 {
		t.Errorf("%v %s", err, out)
	}
}
