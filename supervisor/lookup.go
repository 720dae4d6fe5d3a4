package supervisor

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Look finds the file of a command as execvp(3) does: a name with a slash is a path,
// any other is looked for in the directories of PATH, whose names are taken as they
// are. Where one cannot be executed, the search goes on, and EACCES is the result if
// there is no other. An empty directory is the working directory.
//
// The error is ENOENT where there is no such file; where there is one, it says why
// execve(2) would fail: an errno, or a BadInterpreter.
func Look(name string) (path string, err error) {
	if strings.Contains(name, "/") {
		return name, runnable(name)
	}
	return search(name)
}

func search(name string) (path string, err error) {
	switch {
	case name == "":
		return "", unix.ENOENT
	case len(name) > nameMax:
		return "", unix.ENAMETOOLONG
	}
	dirs, ok := os.LookupEnv("PATH")
	if !ok {
		dirs = "/bin:/usr/bin" // confstr(3), _CS_PATH
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
		case err != errno: // a BadInterpreter
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

// runnable returns the error of execve(2), as far as it can be known before.
func runnable(path string) error {
	if err := executable(path); err != nil {
		return err
	}
	return checkInterpreters(path)
}

const nameMax = 255 // NAME_MAX, limits.h

// executable returns the error of execve(2) as far as the file's name and mode decide.
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
