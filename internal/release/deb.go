package main

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

//go:embed debian
var debian embed.FS

// deb writes the Debian package of a program for an architecture. It has no maintainer scripts: there is nothing to start or
// stop, and dpkg(1) replaces the file of a program without changing the old one, which may be running.
func (r *release) deb(p program, arch string) error {
	documents := "usr/share/doc/" + p.name
	files, err := r.contents(p, arch, layout{
		program: "usr/bin/" + p.name, man: "usr/share/man/man" + p.man + "/" + p.name + "." + p.man + ".gz",
		documents: documents, examples: documents + "/examples",
		completions: map[string]string{
			"bash": "usr/share/bash-completion/completions/" + p.name,
			"zsh":  "usr/share/zsh/vendor-completions/_" + p.name,
			"fish": "usr/share/fish/vendor_completions.d/" + p.name + ".fish",
		},
	})
	if err != nil {
		return err
	}
	// A hyphen would begin the Debian revision. 1.0~dev precedes 1.0, as 1.0-dev does in a semantic version.
	version := strings.ReplaceAll(r.version, "-", "~")
	values := map[string]any{
		"Name": p.name, "Version": version, "Architecture": arch, // Go and Debian use the same names
		"Date": r.date.Format(time.RFC1123Z),
	}
	changelog, err := expand("changelog", values)
	if err != nil {
		return err
	}
	overrides, err := expand("lintian-overrides", values)
	if err != nil {
		return err
	}
	files = append(files,
		file{documents + "/copyright", 0o644, copyright},
		file{documents + "/changelog.gz", 0o644, changelog},
		file{"usr/share/lintian/overrides/" + p.name, 0o644, overrides})
	for i, f := range files {
		if path.Ext(f.name) == ".gz" {
			if files[i].content, err = compress(f.content); err != nil {
				return err
			}
		}
	}
	values["Size"] = installedSize(files)
	control, err := expand(p.name+".control", values)
	if err != nil {
		return err
	}
	files = append(files, file{"DEBIAN/md5sums", 0o644, sums(files)}, file{"DEBIAN/control", 0o644, control})
	return r.dpkg(files, filepath.Join(results, fmt.Sprintf("%s_%s_%s.deb", p.name, version, arch)))
}

// expand executes a template of the directory debian.
func expand(name string, values map[string]any) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(debian, "debian/"+name)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, values)
	return out.Bytes(), err
}
