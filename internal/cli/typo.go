package cli

import (
	"fmt"
	"strings"
)

// unknownCommand returns the error for a first word that is not the name of a command. Since no
// pool is given either, the word is most likely a typing error.
func unknownCommand(word string) error {
	text := fmt.Sprintf("%q is not a command of poolrun, and there is no --pool to run it in", word)
	if near := nearest(word, commandNames[:]); near != "" {
		text += fmt.Sprintf(": did you mean %q?", near)
	}
	return fmt.Errorf("%s", text)
}

// nearest returns the candidate that a word most likely stands for. This is a candidate that the
// word abbreviates, or else the candidate that the fewest changes make of the word, with at most
// one change for every three letters. Of several equals it returns the first. If there is no such
// candidate it returns "".
func nearest(word string, candidates []string) string {
	best, least := "", (len(word)+1)/3+1
	for _, candidate := range candidates {
		n := distance(word, candidate)
		if len(word) > 1 && strings.HasPrefix(candidate, word) {
			n = 0
		}
		if n < least {
			best, least = candidate, n
		}
	}
	return best
}

// distance returns how many insertions, removals, replacements and exchanges of neighbouring
// letters turn a into b (the optimal string alignment distance).
func distance(a, b string) int {
	d := make([][]int, len(a)+1) // d[i][j] turns a[:i] into b[:j]
	for i := range d {
		d[i] = make([]int, len(b)+1)
		for j := range d[i] {
			switch {
			case i == 0 || j == 0:
				d[i][j] = i + j
			case a[i-1] == b[j-1]:
				d[i][j] = d[i-1][j-1]
			default:
				d[i][j] = 1 + min(d[i-1][j], d[i][j-1], d[i-1][j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
