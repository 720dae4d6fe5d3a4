package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestALogHasALineForEachRun(t *testing.T) {
	t.Parallel()
	url, file := newPool(t, 1), filepath.Join(t.TempDir(), "log")
	wantResult(t, poolrun(t, "--log", file, "--pool", url, "sh", "-c", "exit 3"), 3, "^$")
	release := holdSlot(t, url)
	wantResult(t, poolrun(t, "--log", file, "--pool", url, "-n", "true"), 75, "")
	release()
	text, err := os.ReadFile(file)
	must(t, err)
	type entry struct {
		Pool, Error string
		Slots       []int
		Exit        int      `json:"exit_code"`
		Ran         *float64 `json:"ran_seconds"`
	}
	var log [2]entry
	lines := strings.SplitAfter(string(text), "\n")
	if len(lines) != 3 {
		t.Fatalf("%q", text)
	}
	for i := range log {
		must(t, json.Unmarshal([]byte(lines[i]), &log[i]))
	}
	if e := log[0]; e.Pool != url || e.Exit != 3 || len(e.Slots) != 1 || e.Ran == nil || e.Error != "" {
		t.Errorf("%s", lines[0])
	}
	if e := log[1]; e.Pool != url || e.Exit != 75 || len(e.Slots) != 0 || e.Ran != nil || !strings.Contains(e.Error, "no free slot") {
		t.Errorf("%s", lines[1])
	}
}
