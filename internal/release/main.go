// Command release makes the files of a release in the directory dist. "make dist" and "make deb" run it at the top of the
// source tree:
//
//	SOURCE_DATE_EPOCH=SECONDS release -version VERSION -arch ARCHITECTURES -PROGRAM LINKER-FLAGS ... dist|deb GO-BUILD-COMMAND...
//
// The same source, version, date and Go version give the same bytes, whatever the place, the time, the umask and the
// environment.
//
// Read build.go and contents.go first: tarballs and Debian packages have the files that these two collect. tarball.go,
// sbom.go, deb.go with dpkg.go, and checksums.go write one kind of result each.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A program has packages of its own. Engines are started by poolrun: they have a man page, and no other documents.
type program struct {
	name     string
	dir      string // of its Go package
	man      string // the section of its man page
	isEngine bool
	link     string // the flags of the linker
}

var programs = []program{
	{name: "poolrun", dir: ".", man: "1"},
	{name: "poolrun-etcd", dir: "cluster", man: "7", isEngine: true},
}

type release struct {
	version string
	date    time.Time
	build   []string // "go build" with the flags of the Makefile, except those of the linker
	work    string   // a temporary directory
}

const results = "dist"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run() error {
	version := flag.String("version", "", "the version, without a v")
	arch := flag.String("arch", "", "the architectures, as Go names them, separated by spaces")
	for i := range programs {
		p := &programs[i]
		flag.StringVar(&p.link, p.name, "", "the linker's flags for "+p.name)
	}
	flag.Parse()
	if *version == "" || *arch == "" || flag.NArg() < 2 {
		return errors.New("usage: release -version VERSION -arch ARCHITECTURES -PROGRAM LINKER-FLAGS ... dist|deb GO-BUILD-COMMAND")
	}
	pack, suffixes := (*release).dist, []string{".tar.gz", ".cdx.json"}
	switch flag.Arg(0) {
	case "dist":
	case "deb":
		pack, suffixes = (*release).deb, []string{".deb"}
	default:
		return fmt.Errorf("%s is neither dist nor deb", flag.Arg(0))
	}
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("invalid SOURCE_DATE_EPOCH: %w", err)
	}
	r := &release{version: *version, date: time.Unix(seconds, 0).UTC(), build: flag.Args()[1:]}
	if r.work, err = os.MkdirTemp("", "poolrun-release-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	if err := clearResults(suffixes); err != nil {
		return err
	}
	for _, p := range programs {
		for _, arch := range strings.Fields(*arch) {
			if err := pack(r, p, arch); err != nil {
				return fmt.Errorf("%s for %s: %w", p.name, arch, err)
			}
		}
	}
	return writeChecksums()
}

// clearResults removes earlier results of these kinds, so that the checksums are those of one version.
func clearResults(suffixes []string) error {
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	for _, suffix := range suffixes {
		old, err := filepath.Glob(filepath.Join(results, "poolrun*"+suffix))
		if err != nil {
			return err
		}
		for _, path := range old {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeResult(name string, content []byte) error {
	return writeFile(filepath.Join(results, name), content, 0o644)
}

// writeFile writes a file. The umask has no effect on its mode.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	if err := os.WriteFile(path, content, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}
