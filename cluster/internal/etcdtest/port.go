package etcdtest

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"
)

// A port is a TCP address that no other process gets, even while no server listens there. Its socket is
// bound and does not listen. A server can bind the same address if it sets SO_REUSEADDR, as Go's do
// (socket(7)).
type port struct {
	address netip.AddrPort
	fd      int
}

// reservePort reserves a free port of a loopback address.
func reservePort(ip netip.Addr) (*port, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	number, err := bindAny(fd, ip)
	if err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("cannot reserve a port of %v: %w", ip, err)
	}
	return &port{netip.AddrPortFrom(ip, number), fd}, nil
}

func bindAny(fd int, ip netip.Addr) (number uint16, err error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: ip.As4()}); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	return uint16(bound.(*syscall.SockaddrInet4).Port), nil
}

func (p *port) release() { syscall.Close(p.fd) }
