package jobserver

import (
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

var banner = regexp.MustCompile(`^GNU Make (\d+)\.(\d+)`)

// StyleFor returns the style that the program in a file needs: StylePipe for a GNU make that is older
// than 4.4, which it returns the version of. It runs the program with --version if its name is that of
// a make, for two seconds at most.
func StyleFor(path string, env []string) (style Style, version string) {
	if name := filepath.Base(path); name != "make" && name != "gmake" {
		return StyleFIFO, ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env, cmd.Stderr, cmd.WaitDelay = env, io.Discard, time.Millisecond
	out, _ := cmd.Output()
	found := banner.FindSubmatch(out)
	if found == nil {
		return StyleFIFO, ""
	}
	major, _ := strconv.Atoi(string(found[1]))
	minor, _ := strconv.Atoi(string(found[2]))
	if major > 4 || major == 4 && minor >= 4 {
		return StyleFIFO, ""
	}
	return StylePipe, string(found[1]) + "." + string(found[2])
}
