package jobserver

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Style is how clients are told of the tokens.
type Style string

const (
	// StyleFIFO names a FIFO, from which clients read tokens and to which they return them. GNU make
	// 4.4, Ninja 1.13 and cargo know it. A client that returns a token and wants one at once is
	// sometimes faster than this process, and gets the same token again although others wait.
	StyleFIFO Style = "fifo"
	// StylePipe lets clients inherit two descriptors, which GNU make 4.2, cargo and gcc know. They are
	// those of two FIFOs, so each token that is returned comes to this process: see "A pool as a
	// jobserver" in docs/design.md.
	StylePipe Style = "pipe"
)

const (
	token     = '+' // what GNU make uses
	dirPrefix = ".poolrun-jobserver."

	fifoName    = "tokens"
	returnsName = "returns"
	early       = ".new" // what is added to the name of a FIFO that is not open yet
)

// pipes are the FIFOs of a server, each opened by a path and so with an open file description of its
// own: GNU make makes a description nonblocking that it has inherited.
type pipes struct {
	dir     string // private; "" once it has been removed
	offers  int    // clients take tokens from here
	returns int    // and return them here: the same FIFO in StyleFIFO
	clients []int  // the descriptors for the command to inherit: of offers and of returns
	events  int    // inotify on offers; -1 if there is no instance left for this user
}

// openPipes makes the FIFOs in a private directory in parent. The name of the directory contains tag,
// by which IsServed knows it.
func openPipes(parent, tag string, style Style) (p *pipes, err error) {
	p = &pipes{offers: -1, returns: -1, events: -1}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	removeStale(parent)
	if p.dir, err = os.MkdirTemp(parent, dirPrefix+tag+"."); err != nil {
		return p, err
	}
	path := p.path()
	if p.offers, err = makeFIFO(path); err != nil {
		return p, err
	}
	p.returns = p.offers
	if p.events, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err == nil {
		_, err = unix.InotifyAddWatch(p.events, path, unix.IN_ACCESS|unix.IN_MODIFY)
		if err != nil {
			unix.Close(p.events)
		}
	}
	if err != nil {
		p.events = -1 // looks now and then instead: see sleep
	}
	if style == StyleFIFO {
		return p, nil
	}
	back := filepath.Join(p.dir, returnsName)
	if p.returns, err = makeFIFO(back); err != nil {
		return p, err
	}
	for _, path := range []string{path, back} {
		// With O_RDWR a client meets no end of file and no SIGPIPE if this process is killed.
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return p, &os.PathError{Op: "open", Path: path, Err: err}
		}
		p.clients = append(p.clients, moveUp(fd))
	}
	p.removeDir()
	return p, nil
}

// makeFIFO makes a FIFO and opens it. It gets its name only when it is open: see removeStale.
func makeFIFO(path string) (fd int, err error) {
	if err := unix.Mkfifo(path+early, 0o600); err != nil {
		return -1, &os.PathError{Op: "mkfifo", Path: path, Err: err}
	}
	if fd, err = unix.Open(path+early, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if err := os.Rename(path+early, path); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// moveUp moves a descriptor out of the way of those that people number and shells take, as package pool
// does with guards.
func moveUp(fd int) int {
	const least = 50
	up, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, least)
	if err != nil { // RLIMIT_NOFILE is too low for that
		return fd
	}
	unix.Close(fd)
	return up
}

// removeStale removes directories of this user that a killed process has left. The kernel shows which
// they are: nobody has the FIFO open for reading. A server has it open before the FIFO has its name,
// and if the server is killed, its clients have.
func removeStale(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, dirPrefix+"*"))
	for _, dir := range dirs {
		var st unix.Stat_t
		if unix.Lstat(dir, &st) != nil || int(st.Uid) != os.Geteuid() {
			continue
		}
		fd, err := unix.Open(filepath.Join(dir, fifoName), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		}
		isNew := time.Since(time.Unix(st.Mtim.Unix())) < time.Minute
		if err == unix.ENXIO || err == unix.ENOENT && !isNew {
			removeDir(dir)
		}
	}
}

func (p *pipes) path() string { return filepath.Join(p.dir, fifoName) }

// removeDir removes the directory. That needs no descriptor.
func (p *pipes) removeDir() {
	if p.dir != "" {
		removeDir(p.dir)
	}
	p.dir = ""
}

func removeDir(dir string) {
	for _, name := range []string{fifoName, fifoName + early, returnsName, returnsName + early} {
		os.Remove(filepath.Join(dir, name))
	}
	os.Remove(dir)
}

func (p *pipes) close() {
	p.removeDir()
	if p.returns != p.offers {
		closeFD(p.returns)
	}
	closeFD(p.offers)
	closeFD(p.events)
	for _, fd := range p.clients {
		closeFD(fd)
	}
}

func closeFD(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}

// auth is the value of make's --jobserver-auth.
func (p *pipes) auth() string {
	if p.clients == nil {
		return "fifo:" + p.path()
	}
	return strconv.Itoa(p.clients[0]) + "," + strconv.Itoa(p.clients[1])
}

// onOffer returns how many tokens nobody has taken.
func (p *pipes) onOffer() int {
	n, err := unix.IoctlGetInt(p.offers, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

func (p *pipes) offer() error {
	_, err := unix.Write(p.offers, []byte{token})
	return err
}

// take reads up to n bytes of a FIFO. It returns how many it got, and how many of them are no tokens.
func take(fd, n int) (got, odd int) {
	var buffer [4096]byte
	for got < n {
		m, err := unix.Read(fd, buffer[:min(n-got, len(buffer))])
		if err == unix.EINTR {
			continue
		}
		if m <= 0 {
			break
		}
		odd += m - strings.Count(string(buffer[:m]), string(token))
		got += m
	}
	return got, odd
}

// wasTaken reports whether a client has taken a token since it was called last, or may have.
func (p *pipes) wasTaken() (taken bool) {
	var buffer [4096]byte
	for {
		n, err := unix.Read(p.events, buffer[:])
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return taken
		}
		for at := 0; at+unix.SizeofInotifyEvent <= n; at += unix.SizeofInotifyEvent { // there are no names
			mask := binary.NativeEndian.Uint32(buffer[at+4:])
			taken = taken || mask&(unix.IN_ACCESS|unix.IN_Q_OVERFLOW) != 0
		}
	}
}
