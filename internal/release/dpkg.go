package main

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// dpkg lets dpkg-deb(1) pack files. They belong to root and have the date of the release.
func (r *release) dpkg(files []file, to string) error {
	stage, err := os.MkdirTemp(r.work, "stage-")
	if err != nil {
		return err
	}
	directories, files := sorted(files)
	for _, dir := range directories {
		if err := os.Mkdir(filepath.Join(stage, dir), 0o755); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(stage, f.name), f.content, f.mode); err != nil {
			return err
		}
		if err := os.Chtimes(filepath.Join(stage, f.name), r.date, r.date); err != nil {
			return err
		}
	}
	for _, dir := range append(directories, ".") {
		if err := os.Chmod(filepath.Join(stage, dir), 0o755); err != nil {
			return err
		}
		if err := os.Chtimes(filepath.Join(stage, dir), r.date, r.date); err != nil {
			return err
		}
	}
	// The default compression differs between distributions. The number of threads can change the compressed bytes.
	cmd := exec.Command("dpkg-deb", "--root-owner-group", "-Zxz", "--build", stage, to)
	cmd.Env = append(os.Environ(), "DPKG_DEB_THREADS_MAX=1", "SOURCE_DATE_EPOCH="+strconv.FormatInt(r.date.Unix(), 10))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("dpkg-deb: %w\n%s", err, out)
	}
	return os.Chmod(to, 0o644)
}

// installedSize is the size of the files in KiB, as dpkg-gencontrol(1) counts: each file is rounded up, and each directory
// counts as 1.
func installedSize(files []file) int {
	directories, files := sorted(files)
	size := len(directories)
	for _, f := range files {
		size += (len(f.content) + 1023) / 1024
	}
	return size
}

// sums returns the file md5sums, deb-md5sums(5).
func sums(files []file) []byte {
	var out bytes.Buffer
	_, files = sorted(files)
	for _, f := range files {
		fmt.Fprintf(&out, "%x  %s\n", md5.Sum(f.content), f.name)
	}
	return out.Bytes()
}
