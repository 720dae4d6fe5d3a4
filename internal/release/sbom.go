package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// A part of the schema of CycloneDX 1.6: see https://cyclonedx.org/docs/1.6/json.
type (
	bom struct {
		Format       string       `json:"bomFormat"`
		SpecVersion  string       `json:"specVersion"`
		SerialNumber string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		Hashes     []hash     `json:"hashes,omitempty"`
		PURL       string     `json:"purl"`
		Properties []property `json:"properties,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
)

// bill returns the bill of materials of a program: the modules that its build information lists, and the standard library,
// which Go's vulnerability database calls stdlib. If the copyright file lacks one of them, bill fails.
func (r *release) bill(p program, arch string) ([]byte, error) {
	path, err := r.compile(p, arch)
	if err != nil {
		return nil, err
	}
	compiled, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.Read(bytes.NewReader(compiled))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(compiled)
	main := module("application", info.Path, "v"+r.version)
	main.Hashes = []hash{{"SHA-256", hex.EncodeToString(sum[:])}}
	for _, s := range info.Settings {
		main.Properties = append(main.Properties, property{"build:" + s.Key, s.Value})
	}
	components := []component{module("library", "stdlib", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, m := range info.Deps {
		c, err := r.linked(m)
		if err != nil {
			return nil, err
		}
		components = append(components, c)
	}
	needs := dependency{Ref: main.Ref}
	dependencies := []dependency{}
	for _, c := range components {
		if c.Name != ownModule && !bytes.Contains(copyright, []byte(c.Name+"/*")) {
			return nil, fmt.Errorf("debian/copyright lacks %s", c.Name)
		}
		needs.DependsOn = append(needs.DependsOn, c.Ref)
		dependencies = append(dependencies, dependency{Ref: c.Ref})
	}
	document, err := json.MarshalIndent(bom{
		Format: "CycloneDX", SpecVersion: "1.6", SerialNumber: serialNumber(sum), Version: 1,
		Metadata:   metadata{Timestamp: r.date.Format(time.RFC3339), Component: main},
		Components: components, Dependencies: append([]dependency{needs}, dependencies...),
	}, "", "  ")
	return append(document, '\n'), err
}

// ownModule has what the programs have in common. It has their version, and no sum in go.sum.
const ownModule = "github.com/poolrun/poolrun"

// linked describes a module that is linked into a program. The hash is that of go.sum.
func (r *release) linked(m *debug.Module) (component, error) {
	if m.Path == ownModule {
		return module("library", m.Path, "v"+r.version), nil
	}
	if m.Replace != nil {
		m = m.Replace
	}
	c := module("library", m.Path, m.Version)
	sum, known := strings.CutPrefix(m.Sum, "h1:")
	if !known {
		return c, nil
	}
	content, err := base64.StdEncoding.DecodeString(sum)
	if err != nil {
		return c, fmt.Errorf("the sum of %s: %w", m.Path, err)
	}
	c.Hashes = []hash{{"SHA-256", hex.EncodeToString(content)}}
	return c, nil
}

// module describes a Go module. Its package URL has the type golang of github.com/package-url/purl-spec.
func module(kind, path, version string) component {
	url := "pkg:golang/" + path + "@" + version
	return component{Type: kind, Ref: url, Name: path, Version: version, PURL: url}
}

// serialNumber derives a UUID from the checksum of the program. It has version 8, for custom content: RFC 9562, section 5.8.
func serialNumber(sum [sha256.Size]byte) string {
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
