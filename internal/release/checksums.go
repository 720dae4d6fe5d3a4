package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
)

// writeChecksums writes the checksums of all results, in the form that sha256sum(1) reads.
func writeChecksums() error {
	paths, err := filepath.Glob(filepath.Join(results, "poolrun*")) // in order
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), filepath.Base(path))
	}
	return writeResult("SHA256SUMS", sums.Bytes())
}
