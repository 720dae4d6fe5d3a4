package tests

import (
	"regexp"
	"testing"
)

// With --verbose, poolrun tells what it waits for, how long it waited, and how long the command ran. Else it
// tells nothing.
func TestVerboseReportsTheRun(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	release := holdSlot(t, url)
	stderr := new(output)
	cmd := poolrun(t, "-v", "--pool", url, "true")
	cmd.Stderr = stderr
	mustStart(t, cmd)
	eventually(t, "what it waits for", func() bool {
		return regexp.MustCompile(`^poolrun: waiting for a slot of ` + url + `: place 1 of 1 in line, 1 of 1 slots in use, held by \d+ \(sh -c `).MatchString(stderr.String())
	})
	release()
	wantExit(t, 0, cmd)
	for _, want := range []string{`(?m)^poolrun: got slot 0 after \d`, `(?m)^poolrun: the command ran for \d`} {
		if !regexp.MustCompile(want).MatchString(stderr.String()) {
			t.Errorf("no match of %q in %q", want, stderr)
		}
	}
	for _, flags := range [][]string{nil, {"-q"}} {
		wantResult(t, poolrun(t, append(flags, "--pool", url, "true")...), 0, "^$")
	}
}
