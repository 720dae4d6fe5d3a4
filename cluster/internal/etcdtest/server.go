package etcdtest

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A server is a process of the program etcd.
type server struct {
	cmd     *exec.Cmd
	stopped bool
	ended   chan struct{} // closed when it has ended
}

// startServer starts a server. Its environment is empty, because etcd takes variables for options. The
// log contains all that it prints.
func startServer(n *Network, program string, args []string, log string) (*server, error) {
	file, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	s := &server{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = []string{}, file, file
	if err := start(n, s.cmd); err != nil {
		return nil, err
	}
	go func() {
		s.cmd.Wait()
		close(s.ended)
	}()
	return s, nil
}

func (s *server) kill() error {
	s.cmd.Process.Kill() // fails only if it has ended
	select {
	case <-s.ended:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("process %d has not ended %v after SIGKILL", s.cmd.Process.Pid, limit)
	}
}

// exit returns how the process has ended, nil if it has not.
func (s *server) exit() error {
	select {
	case <-s.ended:
		return fmt.Errorf("the server has ended: %v", s.cmd.ProcessState)
	default:
		return nil
	}
}

// stop returns when the process has stopped, of which waitid(2) tells its parent once.
func (s *server) stop() error {
	if s.stopped {
		return nil
	}
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(time.Millisecond) {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, s.cmd.Process.Pid, &info, unix.WSTOPPED|unix.WNOHANG, nil)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("waitid", err)
		}
		if info.Signo == int32(unix.SIGCHLD) {
			s.stopped = true
			return nil
		}
	}
	return fmt.Errorf("process %d has not stopped %v after SIGSTOP", s.cmd.Process.Pid, limit)
}

func (s *server) resume() error {
	s.stopped = false
	return s.cmd.Process.Signal(syscall.SIGCONT)
}
