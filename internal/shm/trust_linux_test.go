package shm

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheOverflowIDIsNobodyUnlessAllIDsAreMapped(t *testing.T) {
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	missing := filepath.Join(t.TempDir(), "missing")
	for what, test := range map[string]struct {
		path, overflow string
		nobody         uint32
		complete       bool
	}{
		"no namespace":            {file("         0          0 4294967295\n"), missing, 0, true},
		"all of another mapped":   {file("         0     100000 4294967295\n"), missing, 0, true},
		"one mapped":              {file("         0       3001          1\n"), file("65534\n"), 65534, false},
		"many mapped":             {file("         0     100000      65536\n"), file("4000\n"), 4000, false},
		"several ranges":          {file("0 1000 1\n1 100000 65536\n"), file("65534\n"), 65534, false},
		"none mapped":             {file(""), file("65534\n"), 65534, false},
		"no map, no overflow":     {missing, missing, 65534, false},
		"shifted, up to the last": {file("         1          0 4294967294\n"), missing, 65534, false},
	} {
		m := idMap{mapFile: test.path + "\x00", overflowFile: test.overflow + "\x00"}
		for _, id := range []uint32{0, 1000, 4000, 65534} {
			if got, want := m.isNobody(id), !test.complete && id == test.nobody; got != want {
				t.Errorf("%s: is %d nobody: %v", what, id, got)
			}
		}
	}
}
