package tests

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The cron daemon runs the jobs of the example's crontab, at the next minute. It has its own /etc/cron.d,
// /run and processes. The jobs have other commands, the nightly job runs every minute, and the shell of
// the crontab records the exit codes and the output.
//
// A command runs until a job has been skipped. Of the four jobs that start at once, one runs, and the next
// one waits. The backup waits as well. So at least one is skipped.
func TestCronRunsOneJobAtATimeAndSkipsOthers(t *testing.T) {
	onlyOnce(t)
	needPrograms(t, "cron")
	name, dir := freeName(t), t.TempDir()
	marks := overlapDir(filepath.Join(dir, "marks"))
	log, results, skipped := filepath.Join(dir, "log"), filepath.Join(dir, "results"), filepath.Join(dir, "skipped")
	job, shell := filepath.Join(dir, "job"), filepath.Join(dir, "shell")
	writeScript(t, job, "exec overlapping "+marks+" 1 await-file "+skipped)
	writeScript(t, shell, `output=$(/bin/sh "$@" 2>&1); echo "$? $output" >>`+results)

	crontab, err := os.ReadFile(example(t, "cron/crontab"))
	if err != nil {
		t.Fatal(err)
	}
	overlapping, err := exec.LookPath("overlapping")
	if err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{
		"SHELL": shell, "PATH": binaries.dir + ":" + filepath.Dir(overlapping) + ":/usr/bin:/bin", "POOLRUN_POOL": name, "POOLRUN_SIZE": "1", "POOLRUN_LOG": log,
		"BACKUP": job + " backup", "FETCH": job + " fetch", "INDEX": job + " index", "REPORT": job + " report",
	}
	text := regexp.MustCompile(`(?m)^(\w+)=.*$`).ReplaceAllStringFunc(string(crontab), func(line string) string {
		variable, _, _ := strings.Cut(line, "=")
		value, known := variables[variable]
		if !known {
			t.Errorf("%s", line)
		}
		return variable + "=" + value
	})
	text = strings.Replace(text, "\n30 2 ", "\n* * ", 1)
	if n := strings.Count(text, "\n* * * * * "); n != 4 {
		t.Fatalf("%d jobs run every minute in\n%s", n, text)
	}
	for path, content := range map[string]string{"cron.d/example": text, "crontab": "", "crontabs/none": ""} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	daemon := private(t, `
mount --bind cron.d /etc/cron.d
mount --bind crontab /etc/crontab
mount --bind crontabs /var/spool/cron/crontabs
mount -t tmpfs tmpfs /run
exec cron -f`)
	daemon.Dir = dir
	var stderr bytes.Buffer
	daemon.Stderr = &stderr
	mustStart(t, daemon)
	entries := make(chan []cronEntry, 1)
	go func() {
		entries <- watchCron(log, results, skipped)
		if first := childOf(daemon.Process.Pid); first != 0 {
			syscall.Kill(first, syscall.SIGKILL) // and with it all processes of its namespace
		}
	}()

	t.Parallel() // The other tests run while cron waits for the minute.
	ended := <-entries
	waitInTime(t, daemon, hangs)
	if len(ended) < 4 {
		t.Fatalf("%d jobs have ended; cron says %q", len(ended), stderr.String())
	}
	ran, skips := 0, 0
	for _, entry := range ended {
		if entry.Exit != 0 || entry.Pool != name || len(entry.Command) != 2 {
			t.Errorf("%+v", entry)
		}
		if entry.Started == nil {
			skips++
		} else {
			ran++
		}
	}
	if ran < 2 || skips < 1 {
		t.Errorf("%d jobs ran, %d were skipped", ran, skips)
	}
	if n, most := mostSeen(marks); n < ran || most != 1 {
		t.Errorf("%d commands ran, at most %d at once", n, most)
	}
	said, err := os.ReadFile(results)
	if err != nil || regexp.MustCompile(`(?m)^[^0]|^0 .`).Match(said) {
		t.Errorf("the exit codes and the output of the jobs: %v\n%s", err, said)
	}
}

// A cronEntry is a line of the log.
type cronEntry struct {
	Pool    string
	Started *string
	Exit    int `json:"exit_code"`
	Command []string
}

// watchCron waits until the log shows that a job was skipped. Then it creates a file, which ends the
// commands. It returns the lines of the log when four jobs have ended, or after 150 seconds.
func watchCron(log, results, skipped string) (entries []cronEntry) {
	for end := time.Now().Add(150 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		text, _ := os.ReadFile(log)
		entries = nil
		for line := range bytes.Lines(text) {
			var entry cronEntry
			if json.Unmarshal(line, &entry) == nil {
				entries = append(entries, entry)
			}
			if entry.Started == nil {
				os.WriteFile(skipped, nil, 0o600)
			}
		}
		if ended, _ := os.ReadFile(results); bytes.Count(ended, []byte("\n")) >= 4 {
			break
		}
	}
	return entries
}
