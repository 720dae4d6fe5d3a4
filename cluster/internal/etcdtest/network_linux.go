package etcdtest

import (
	"os"
	"os/exec"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// A Network is the network of a simulated machine: it has nothing but a loopback interface, and a Proxy is
// the only way out of it. One thread of this process is there and starts its processes. Nothing is left of
// the network when the thread, the processes and the sockets have ended.
type Network struct{ calls chan func() }

// home is the network of this process.
var home = sync.OnceValue(newThread)

// NewNetwork makes a network, and gives its machine a host name. That takes root's privileges.
func NewNetwork(host string) (n *Network, err error) {
	n = newThread()
	n.Do(func() { err = isolate(host) })
	if err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

func newThread() *Network {
	n := &Network{make(chan func())}
	go func() {
		runtime.LockOSThread() // the thread ends with this goroutine
		for call := range n.calls {
			call()
		}
	}()
	return n
}

// Do makes a call on the thread of the network. Sockets and processes that it makes belong to the network.
func (n *Network) Do(call func()) {
	done := make(chan struct{})
	n.calls <- func() { defer close(done); call() }
	<-done
}

// Start starts a process in the network.
func (n *Network) Start(cmd *exec.Cmd) (err error) {
	n.Do(func() { err = cmd.Start() })
	return err
}

// Close ends the thread.
func (n *Network) Close() { close(n.calls) }

// isolate moves the thread into a new network.
func isolate(host string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWUTS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := unix.Sethostname([]byte(host)); err != nil {
		return os.NewSyscallError("sethostname", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return os.NewSyscallError("ioctl", unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo))
}
