package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// dist writes the tarball of a program for an architecture, and the bill of materials of the program.
func (r *release) dist(p program, arch string) error {
	name := fmt.Sprintf("%s-%s-linux-%s", p.name, r.version, arch)
	files, err := r.contents(p, arch, layout{
		program: p.name, man: "man" + p.man + "/" + p.name + "." + p.man, documents: "", examples: "examples",
		completions: map[string]string{
			"bash": "completions/" + p.name + ".bash",
			"zsh":  "completions/_" + p.name,
			"fish": "completions/" + p.name + ".fish",
		},
	})
	if err != nil {
		return err
	}
	license, err := os.ReadFile("LICENSE")
	if err != nil {
		return err
	}
	files = append(files, file{"LICENSE", 0o644, license}, file{"copyright", 0o644, copyright})
	if p.isEngine {
		files = append(files, file{"Apache-2.0", 0o644, apache})
	}
	for i := range files {
		files[i].name = path.Join(name, files[i].name)
	}
	tarball, err := r.tarball(files)
	if err != nil {
		return err
	}
	if err := writeResult(name+".tar.gz", tarball); err != nil {
		return err
	}
	bill, err := r.bill(p, arch)
	if err != nil {
		return err
	}
	return writeResult(name+".cdx.json", bill)
}

// tarball packs files. They belong to root and have the date of the release.
func (r *release) tarball(files []file) ([]byte, error) {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	add := func(kind byte, name string, mode fs.FileMode, content []byte) error {
		if err := archive.WriteHeader(&tar.Header{
			Typeflag: kind, Name: name, Mode: int64(mode), Size: int64(len(content)), ModTime: r.date, Format: tar.FormatUSTAR,
		}); err != nil {
			return err
		}
		_, err := archive.Write(content)
		return err
	}
	directories, files := sorted(files)
	for _, dir := range directories {
		if err := add(tar.TypeDir, dir+"/", 0o755, nil); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		if err := add(tar.TypeReg, f.name, f.mode, f.content); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return compress(out.Bytes())
}

// compress compresses as gzip -9n does: without a time and a name.
func compress(content []byte) ([]byte, error) {
	var out bytes.Buffer
	compressor, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := compressor.Write(content); err != nil {
		return nil, err
	}
	err = compressor.Close()
	return out.Bytes(), err
}
