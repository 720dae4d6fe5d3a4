package jobserver

import (
	"os"
	"regexp"
	"strings"

	"github.com/poolrun/poolrun/pool"
)

// MAKEFLAGS is a list of words: the letters of flags without a dash as the first, then flags, and after
// "--" definitions of variables. A backslash quotes a blank in a word (GNU make manual,
// "Communicating Options to a Sub-make").
var (
	word      = regexp.MustCompile(`(?:\\.|[^ \t\\])+`)
	jobLetter = regexp.MustCompile(`^(-?[BbdeiknpqrRsStvw]*)j[0-9]*([BbdeiknpqrRsStvw]*)$`)
)

// Flags returns the value of MAKEFLAGS for the command: what the caller had in it, with this server
// instead of other limits on jobs. It also returns the flags that it has replaced.
func (s *Server) Flags(makeflags string) (flags string, replaced []string) {
	kept, variables := []string{}, []string{}
	all := word.FindAllString(makeflags, -1)
	for i, w := range all {
		if w == "--" {
			variables = all[i:]
			break
		}
		parts := jobLetter.FindStringSubmatch(w)
		switch {
		case isJobFlag(w):
			replaced = append(replaced, w)
		case parts != nil && (i == 0 || strings.HasPrefix(w, "-")):
			replaced = append(replaced, w)
			if rest := parts[1] + parts[2]; rest != "" && rest != "-" {
				kept = append(kept, rest)
			}
		default:
			kept = append(kept, w)
		}
	}
	kept = append(kept, "-j", authFlag+s.pipes.auth())
	return strings.Join(append(kept, variables...), " "), replaced
}

const authFlag = "--jobserver-auth="

func isJobFlag(word string) bool {
	for _, prefix := range []string{authFlag, "--jobserver-fds=", "--jobserver-style=", "--jobs="} {
		if strings.HasPrefix(word, prefix) {
			return true
		}
	}
	return word == "--jobs"
}

// IsServed reports whether a value of MAKEFLAGS names a server for a pool, which this process can use:
// the command is part of a build whose jobs are slots of that pool already.
func IsServed(makeflags string, p *pool.Pool) bool {
	for _, w := range word.FindAllString(makeflags, -1) {
		auth, ok := strings.CutPrefix(w, authFlag)
		if !ok {
			continue
		}
		path, isPath := strings.CutPrefix(auth, "fifo:")
		if !isPath {
			read, _, _ := strings.Cut(auth, ",")
			path, _ = os.Readlink("/proc/self/fd/" + read)
		} else if _, err := os.Stat(path); err != nil {
			return false
		}
		return strings.Contains(path, "/"+dirPrefix+p.ID()+".")
	}
	return false
}
