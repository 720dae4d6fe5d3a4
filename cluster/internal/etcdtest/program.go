package etcdtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Variable is the environment variable that names an etcd to use instead of building one.
const Variable = "POOLRUN_TEST_ETCD"

const (
	programPackage = "github.com/poolrun/poolrun/cluster/tests/etcd"
	buildLimit     = 10 * time.Minute
)

// program returns the path of the server. A server that is built loses its name at once and lasts as
// long as this process has it open, so nothing is left of it, however the process ends.
var program = sync.OnceValues(func() (path string, err error) {
	if path := os.Getenv(Variable); path != "" {
		return exec.LookPath(path)
	}
	dir, err := os.MkdirTemp("", "poolrun-etcd-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "etcd")
	var output bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), buildLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", file, programPackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := start(home(), cmd); err != nil {
		return "", err
	}
	if err := cmd.Wait(); err != nil {
		return "", fmt.Errorf("cannot build %s: %w\n%s", programPackage, err, output.Bytes())
	}
	if built, err = os.Open(file); err != nil {
		return "", err
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), built.Fd()), nil
})

// built keeps the server that was built.
var built *os.File

// start starts a process that gets SIGKILL when this one ends, and that is in a process group of its
// own, so that it gets no signal from the terminal.
//
// The kernel sends the signal when the thread ends that has started the process (prctl(2),
// PR_SET_PDEATHSIG). That of a network lasts long enough.
func start(n *Network, cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return n.Start(cmd)
}
