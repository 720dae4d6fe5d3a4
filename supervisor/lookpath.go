package supervisor

import (
	"os"
	"strings"
	"syscall"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// LookPath finds the file of a command as execvp(3) does. A name that contains a slash is used as a
// path. Any other name is looked up in the directories of PATH, where an empty entry stands for the
// working directory. Without a PATH the search is in /bin and /usr/bin (_CS_PATH of confstr(3)).
//
// The search passes over a file that may not be executed, and returns EACCES if it finds no other
// file. The error is ENOENT if there is no file of that name. Otherwise it is the error of
// execve(2), or an [InterpreterError]. A nil error does not rule out that execve(2) fails.
//
// Unlike exec.LookPath, LookPath accepts a file in the working directory, as execvp(3) does.
func LookPath(name string) (path string, err error) {
	dirs, ok := os.LookupEnv("PATH")
	if !ok {
		dirs = DefaultPath
	}
	s := search{memory: make([]byte, searchMemory)}
	if strings.Contains(name, "\x00") {
		return "", unix.EINVAL
	}
	if errno := s.find(name, dirs); errno == 0 {
		return bare.String(s.path()), nil
	} else if s.blamesInterpreter {
		err = InterpreterError{bare.String(s.interpreter()), errno}
	} else {
		err = errno
	}
	if strings.Contains(name, "/") {
		path = name
	}
	return path, err
}

// DefaultPath is what stands for a PATH that is not set.
const DefaultPath = "/bin:/usr/bin"

const nameMax = 255 // NAME_MAX, limits.h

// A search looks for the file of a command. Its methods are bare Go.
type search struct {
	// memory has two C strings: the path of the file and, from index second on, the interpreter that
	// the file names last.
	memory []byte
	second int

	blamesInterpreter bool // the error is the interpreter's
	isPlain           bool // the file has no format that the kernel is sure to know
}

const searchMemory = 2 * unix.PathMax

func (s *search) path() *byte        { return &s.memory[0] }
func (s *search) interpreter() *byte { return &s.memory[s.second] }

// find finds the file of a command: see LookPath.
func (s *search) find(name, dirs string) (errno syscall.Errno) {
	for i := range len(name) {
		if name[i] == '/' {
			return s.runnable("", name)
		}
	}
	switch {
	case name == "":
		return unix.ENOENT
	case len(name) > nameMax:
		return unix.ENAMETOOLONG
	}
	// The result, unless a file is found: an interpreter is to blame rather than a mode, and a mode
	// rather than nothing.
	result, blames := unix.ENOENT, false
	for more := true; more; {
		end := 0
		for end < len(dirs) && dirs[end] != ':' {
			end++
		}
		dir := dirs[:end]
		if more = end < len(dirs); more {
			dirs = dirs[end+1:]
		}
		if len(dir)+1+len(name) >= unix.PathMax {
			continue
		}
		errno := s.runnable(dir, name)
		switch {
		case errno == 0:
			return 0
		case s.blamesInterpreter:
			result, blames = errno, true
		case errno == unix.EACCES && result == unix.ENOENT && !blames:
			result = errno
		}
		switch errno {
		case unix.EACCES, unix.ENOENT, unix.ENOTDIR, unix.ESTALE, unix.ENODEV, unix.ETIMEDOUT:
		default:
			return errno
		}
	}
	s.blamesInterpreter = blames
	return result
}

// runnable predicts the error of execve(2) for a file.
func (s *search) runnable(dir, name string) syscall.Errno {
	s.blamesInterpreter = false
	path := bare.In(s.memory[:unix.PathMax])
	path.Add(dir)
	if dir != "" {
		path.AddByte('/')
	}
	path.Add(name)
	s.second = len(path.End()) + 1
	if path.IsCut() {
		return unix.ENAMETOOLONG
	}
	if errno := executable(s.path()); errno != 0 {
		return errno
	}
	return s.checkInterpreters()
}

// executable predicts the error of execve(2) from the file's name, type and mode. It is bare Go.
func executable(path *byte) syscall.Errno {
	var stat unix.Stat_t
	if errno := bare.Stat(path, &stat); errno != 0 {
		return errno
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return unix.EACCES
	}
	errno := bare.Errno(bare.Sys(unix.SYS_FACCESSAT2, bare.AtCWD, bare.Pointer(path), unix.X_OK, unix.AT_EACCESS))
	if errno != unix.ENOSYS && errno != unix.EPERM { // before Linux 5.8; a filter of system calls
		return errno
	}
	// faccessat(2) asks for the real user.
	errno = bare.Errno(bare.Sys(unix.SYS_FACCESSAT, bare.AtCWD, bare.Pointer(path), unix.X_OK, 0))
	if errno == unix.EACCES && bare.Sys(unix.SYS_GETUID, 0, 0, 0, 0) != bare.Sys(unix.SYS_GETEUID, 0, 0, 0, 0) {
		return 0 // execve(2) decides
	}
	return errno
}
