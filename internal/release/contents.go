package main

import (
	"cmp"
	_ "embed"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The licenses of the programs, and of everything that is linked into them.
//
//go:embed debian/copyright
var copyright []byte

// The text of the license that Debian packages must not contain (Debian policy, section 12.5).
//
//go:embed Apache-2.0
var apache []byte

// A file is a file in a tarball or a Debian package.
type file struct {
	name    string
	mode    fs.FileMode
	content []byte
}

// A layout says where the files go.
type layout struct {
	program, man, documents, examples string
	completions                       map[string]string // by shell
}

// contents returns the files that tarballs and Debian packages have in common.
func (r *release) contents(p program, arch string, to layout) ([]file, error) {
	compiled, err := r.compile(p, arch)
	if err != nil {
		return nil, err
	}
	var l lister
	l.add(compiled, to.program, 0o755)
	l.add("docs/"+p.name+"."+p.man, to.man, 0o644)
	if p.isEngine {
		return l.files, l.err
	}
	for _, name := range []string{"README.md", "CHANGELOG.md"} {
		l.add(name, path.Join(to.documents, name), 0o644)
	}
	l.addTree("docs", path.Join(to.documents, "docs"), ".1", ".7")
	l.addTree("examples", to.examples)
	for shell, name := range to.completions {
		script, err := r.completion(p, shell)
		l.err = cmp.Or(l.err, err)
		l.files = append(l.files, file{name, 0o644, script})
	}
	return l.files, l.err
}

// A lister collects files, and keeps the first error.
type lister struct {
	files []file
	err   error
}

func (l *lister) add(from, name string, mode fs.FileMode) {
	content, err := os.ReadFile(from)
	l.err = cmp.Or(l.err, err)
	l.files = append(l.files, file{name, mode, content})
}

// addTree adds the files below a directory, except those with some extensions. They keep the owner's permission to execute.
func (l *lister) addTree(from, to string, except ...string) {
	l.err = cmp.Or(l.err, filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || slices.Contains(except, path.Ext(name)) {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		l.add(name, to+strings.TrimPrefix(name, from), mode)
		return nil
	}))
}

// sorted sorts files by name, and returns them with their directories, also sorted.
func sorted(files []file) (directories []string, _ []file) {
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	for _, f := range files {
		for dir := path.Dir(f.name); dir != "."; dir = path.Dir(dir) {
			directories = append(directories, dir)
		}
	}
	slices.Sort(directories)
	return slices.Compact(directories), files
}
