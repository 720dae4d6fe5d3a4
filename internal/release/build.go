package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
)

// neutral overrides variables that change what the go command builds. If GOFLAGS were empty, the go command would use the
// value that "go env -w" has set. -mod=readonly is the default.
var neutral = []string{"GOFLAGS=-mod=readonly", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off"}

// compile builds a program for an architecture, once, and returns its path.
func (r *release) compile(p program, arch string) (path string, err error) {
	path = filepath.Join(r.work, p.name+"-"+arch)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	args := append(slices.Clone(r.build), "-ldflags", p.link, "-o", path, ".")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = p.dir
	cmd.Env = append(append(os.Environ(), neutral...), "GOOS=linux", "GOARCH="+arch)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%v: %w", cmd, err)
	}
	return path, nil
}

// completion returns the completion script for a shell, which a program for this machine prints.
func (r *release) completion(p program, shell string) ([]byte, error) {
	path, err := r.compile(p, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "completion", shell)
	cmd.Env = []string{"LC_ALL=C"}
	cmd.Stderr = os.Stderr
	script, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s completion %s: %w", p.name, shell, err)
	}
	if len(script) == 0 {
		return nil, fmt.Errorf("%s completion %s prints nothing", p.name, shell)
	}
	return script, nil
}
