package tests

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// pipeline is what the test uses of a .gitlab-ci.yml.
type pipeline struct {
	Stages    []string
	Variables map[string]string
	jobs      map[string]pipelineJob
}

type pipelineJob struct {
	Stage        string
	Parallel     int
	BeforeScript []string `json:"before_script"`
	Script       []string
	AllowFailure struct {
		ExitCodes int `json:"exit_codes"`
	} `json:"allow_failure"`
}

// readPipeline parses the example, by Python's YAML parser.
func readPipeline(t testing.TB) (p pipeline) {
	t.Helper()
	needPrograms(t, "python3")
	if exec.Command("python3", "-c", "import yaml").Run() != nil {
		t.Skip("no YAML parser for Python")
	}
	script := "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)"
	text, err := exec.Command("python3", "-c", script, example(t, "gitlab-ci/.gitlab-ci.yml")).Output()
	if err != nil {
		t.Fatal(err)
	}
	var jobs map[string]json.RawMessage
	for _, into := range []any{&p, &jobs} {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	p.jobs = map[string]pipelineJob{}
	for name, text := range jobs {
		var job pipelineJob
		if name == "stages" || name == "variables" {
			continue
		}
		if err := json.Unmarshal(text, &job); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p.jobs[name] = job
	}
	return p
}

// The test runs the lines of the jobs as GitLab's shell executor does: in one shell for each job, all
// jobs of a stage at once.
func TestTheGitLabJobsShareAPool(t *testing.T) {
	onlyOnce(t)
	name, dir, marks := freeName(t), t.TempDir(), overlapDir(t.TempDir())
	p := readPipeline(t)
	writeScript(t, filepath.Join(dir, "build.sh"), "")
	writeScript(t, filepath.Join(dir, "integration.sh"), "exec overlapping "+marks+" 2 sleep 0.1")
	writeScript(t, filepath.Join(dir, "migrate.sh"), "exec overlapping "+marks+" 2 sleep 0.1")
	var all []*exec.Cmd
	scripts := 0
	for jobName, job := range p.jobs {
		if job.Stage != "build" && job.AllowFailure.ExitCodes != 75 {
			t.Errorf("%s fails if it has no slot", jobName)
		}
		for i := range max(job.Parallel, 1) {
			lines := append([]string{"set -eo pipefail"}, append(job.BeforeScript, job.Script...)...)
			cmd := command(t, "bash", "-c", strings.Join(lines, "\n"))
			cmd.Dir = dir
			for variable, value := range p.Variables {
				cmd.Env = append(cmd.Env, variable+"="+value)
			}
			cmd.Env = append(cmd.Env, "POOLRUN_POOL="+name, "CI_NODE_INDEX="+strconv.Itoa(i+1))
			cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
			all = append(all, mustStart(t, cmd))
		}
		scripts += max(job.Parallel, 1)
	}
	wantExit(t, 0, all...)
	if len(p.Stages) != 2 || scripts != 6 {
		t.Errorf("%+v", p)
	}
	wantSeen(t, "commands in the pool", marks, 6, 2) // migrate.sh runs twice
	wantEmpty(t, name)
}
