package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
)

// A machine is a simulated one.
type machine struct {
	name    string
	network *etcdtest.Network // nil for that of this process
	env     []string
	program string // poolrun
}

const killAfter = 10 * time.Second // of what does not end after SIGTERM

// newMachines simulates machines that reach etcd. Without root's privileges, they are no more than groups of
// processes. turnOff ends what they consist of.
func newMachines(program string, etcd *etcdtest.Member) (all []*machine, turnOff func(), err error) {
	var parts []func()
	turnOff = func() {
		for _, end := range parts {
			end()
		}
	}
	for i := range machines {
		m := &machine{name: fmt.Sprintf("node%d", i+1), program: program}
		address := etcd.Address()
		m.network, err = etcdtest.NewNetwork(m.name)
		if err == nil {
			parts = append(parts, m.network.Close)
			var proxy *etcdtest.Proxy
			if proxy, err = etcd.Reach(m.network); err == nil {
				parts = append(parts, func() { proxy.Close() })
				address = proxy.Address()
			}
		}
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			turnOff()
			return nil, nil, fmt.Errorf("cannot simulate a machine: %w", err)
		}
		m.env = []string{"ETCDCTL_ENDPOINTS=" + address, "PATH=" + os.Getenv("PATH")}
		all = append(all, m)
	}
	if all[0].network != nil {
		fmt.Printf("simulated %d machines, each with a network and a host name of its own\n", machines)
	} else {
		fmt.Printf("simulated %d machines: without root's privileges, they are groups of processes on this one\n", machines)
	}
	return all, turnOff, nil
}

// command prepares a run of poolrun. It gets SIGTERM at the end of the context, and of this process.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, m.program, args...)
	cmd.Env, cmd.Stderr = m.env, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	return cmd
}

// start starts a process on the machine.
func (m *machine) start(cmd *exec.Cmd) error {
	if m.network == nil {
		return cmd.Start()
	}
	return m.network.Start(cmd)
}

// poolrun runs poolrun on the machine, and returns what it prints.
func (m *machine) poolrun(ctx context.Context, args ...string) (output string, err error) {
	cmd := m.command(ctx, args...)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err = m.start(cmd); err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return "", fmt.Errorf("poolrun %s: %w", strings.Join(args, " "), err)
	}
	return out.String(), nil
}
