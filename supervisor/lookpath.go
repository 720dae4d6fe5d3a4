package supervisor

import (
	"errors"
	"os"
	"strings"

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
	switch {
	case strings.Contains(name, "/"):
		return name, runnable(name)
	case name == "":
		return "", unix.ENOENT
	case len(name) > nameMax:
		return "", unix.ENAMETOOLONG
	}
	dirs, ok := os.LookupEnv("PATH")
	if !ok {
		dirs = "/bin:/usr/bin"
	}
	result := error(unix.ENOENT)
	for dir := range strings.SplitSeq(dirs, ":") {
		path := name
		if dir != "" {
			path = dir + "/" + name
		}
		if len(path) >= unix.PathMax {
			continue
		}
		err := runnable(path)
		errno, _ := errors.AsType[unix.Errno](err)
		switch {
		case err == nil:
			return path, nil
		case err != errno: // an InterpreterError
			result = err
		case errno == unix.EACCES && result == unix.ENOENT:
			result = err
		}
		switch errno {
		case unix.EACCES, unix.ENOENT, unix.ENOTDIR, unix.ESTALE, unix.ENODEV, unix.ETIMEDOUT:
		default:
			return "", err
		}
	}
	return "", result
}

// runnable predicts the error of execve(2).
func runnable(path string) error {
	if err := executable(path); err != nil {
		return err
	}
	return checkInterpreters(path)
}

const nameMax = 255 // NAME_MAX, limits.h

// executable predicts the error of execve(2) from the file's name, type and mode.
func executable(path string) error {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return unix.EACCES
	}
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
}
