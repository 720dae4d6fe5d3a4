package supervisor

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Look finds the file of a command as execvp(3) does: a name with a slash is a
// path, any other is looked for in the directories of PATH. The error is
// fs.ErrNotExist where there is no such file, fs.ErrPermission where all that
// were found cannot be executed.
func Look(name string) (path string, err error) {
	if strings.Contains(name, "/") {
		return name, executable(name)
	}
	result := fs.ErrNotExist
	if name == "" {
		return "", result
	}
	dirs, ok := os.LookupEnv("PATH")
	if !ok {
		dirs = "/bin:/usr/bin"
	}
	for _, dir := range filepath.SplitList(dirs) {
		// An empty entry means the working directory.
		path := filepath.Join(dir, name)
		if dir == "" || dir == "." {
			path = "./" + name
		}
		switch err := executable(path); {
		case err == nil:
			return path, nil
		case os.IsPermission(err):
			result = fs.ErrPermission
		}
	}
	return "", result
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil && os.IsPermission(err):
		return fs.ErrPermission
	case err != nil:
		return fs.ErrNotExist
	case info.IsDir() || unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS) != nil:
		return fs.ErrPermission
	}
	return nil
}
