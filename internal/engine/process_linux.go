package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/poolrun/poolrun/pool"
	"github.com/poolrun/poolrun/supervisor"
	"golang.org/x/sys/unix"
)

// A cell is what a request for slots shares with every engine that serves it: the guard, and the page
// that gets the command's pid. An engine learns from them about a command that has outlived poolrun.
type cell struct {
	guardIn, guardOut int // the write end and the read end of the pipe
	page              int // a memfd of that size
	memory            []byte
}

// pidBytes is the size of a pid.
const pidBytes = 4

func newCell() (c *cell, err error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	c = &cell{guardOut: pipe[0], guardIn: pipe[1], page: -1}
	if err := c.makePage(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *cell) makePage() (err error) {
	const protection = unix.PROT_READ | unix.PROT_WRITE
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_FSIZE, &limit) == nil && limit.Cur < pidBytes {
		// Nothing can be shared. An engine that finds no page knows the command from poolrun only.
		if c.page, err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
			c.memory, err = unix.Mmap(-1, 0, pidBytes, protection, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		}
		return err
	}
	if c.page, err = unix.MemfdCreate("poolrun", unix.MFD_CLOEXEC); err != nil {
		return err
	}
	if err = unix.Ftruncate(c.page, pidBytes); err == nil {
		c.memory, err = unix.Mmap(c.page, 0, pidBytes, protection, unix.MAP_SHARED)
	}
	return err
}

// pid is where the command's pid is.
func (c *cell) pid() *atomic.Int32 { return PID(c.memory) }

// PID is where the command's pid is in a page.
func PID(page []byte) *atomic.Int32 { return (*atomic.Int32)(unsafe.Pointer(&page[0])) }

func (c *cell) close() {
	for _, fd := range []int{c.guardIn, c.guardOut, c.page} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if c.memory != nil {
		unix.Munmap(c.memory)
	}
}

// MayBeInside reports whether this process has inherited the write end of a pipe other than as a standard
// descriptor: it may be the guard of a slot.
func MayBeInside() bool {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return true
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd < 3 {
			continue
		}
		var info unix.Stat_t
		closes, err1 := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		access, err2 := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if errors.Join(err1, err2, unix.Fstat(fd, &info)) != nil {
			continue
		}
		isInherited := closes&unix.FD_CLOEXEC == 0 // this program's own are closed at an exec
		if isInherited && info.Mode&unix.S_IFMT == unix.S_IFIFO && access&unix.O_ACCMODE == unix.O_WRONLY {
			return true
		}
	}
	return false
}

// start starts an engine, as a companion or an adopted one, and returns this end of the socket. The cell may
// be nil.
func start(u URL, c *cell, adopted bool) (*os.File, error) {
	program, err := find(programOf(u.Scheme))
	if err != nil {
		return nil, &pool.Error{Pool: u.String(), Kind: pool.ErrUnavailable, Cause: err}
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, &pool.Error{Pool: u.String(), Kind: pool.ErrUnavailable, Cause: err}
	}
	defer unix.Close(pair[1])
	files := []int{pair[1]}
	if c != nil {
		files = append(files, c.guardOut, c.page)
	}
	env, err := environ()
	if err == nil {
		err = supervisor.Companion{Path: program, Args: []string{filepath.Base(program)}, Env: env, Files: files, Adopted: adopted}.Start()
	}
	if err == nil {
		err = unix.SetNonblock(pair[0], true) // for the runtime's poller
	}
	if err != nil {
		unix.Close(pair[0])
		return nil, &pool.Error{Pool: u.String(), Kind: pool.ErrUnavailable, Cause: fmt.Errorf("cannot start %s: %w", program, err)}
	}
	return os.NewFile(uintptr(pair[0]), "engine"), nil
}

// find finds the program of an engine: beside this program, or else in PATH.
func find(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if unix.Access(beside, unix.X_OK) == nil {
			return beside, nil
		}
	}
	path, err := supervisor.LookPath(name)
	if err != nil {
		return "", missing(name)
	}
	return filepath.Abs(path)
}

// missing is the name of a program that is not installed.
type missing string

func (m missing) Error() string { return fmt.Sprintf("%s is not installed", string(m)) }

// Missing returns the program that has to be installed if an error says that an engine is missing.
func Missing(err error) (program string, ok bool) {
	m, ok := errors.AsType[missing](err)
	return string(m), ok
}

// environ is the environment of an engine. What is meant for the command must not change what an engine
// does. DirVariable has the working directory, for the names of files in other variables.
func environ() ([]string, error) {
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	env := slices.DeleteFunc(supervisor.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return strings.HasPrefix(name, "GO") || strings.HasPrefix(name, "GRPC_") || name == DirVariable
	})
	return append(env, DirVariable+"="+dir), nil
}

// DirVariable has the working directory of poolrun. An engine's own is /, so that it keeps no file system
// busy.
const DirVariable = "POOLRUN_ENGINE_DIR"
