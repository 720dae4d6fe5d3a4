package parser

import (
	"fmt"
	"strings"

	"github.com/poolrun/poolrun/internal/cli"
)

// unknownCommand is the error for a first word that is no command of poolrun's, and
// cannot be one to run: there is no pool to run it in. Most likely it is a typo.
func unknownCommand(word string) error {
	text := fmt.Sprintf("%q is no command of poolrun, and there is no --pool to run it in", word)
	if near := nearest(word, cli.CommandNames()); near != "" {
		text += fmt.Sprintf(": did you mean %q?", near)
	}
	return fmt.Errorf("%s", text)
}

// nearest is the candidate that a word was most likely meant to be: one that it
// abbreviates, or else the one that takes the fewest changes, if these are no more than
// one in three letters. The first of several.
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

// distance is how many letters have to be inserted, removed or replaced, or exchanged
// with their neighbours, to make b of a (the optimal string alignment distance).
func distance(a, b string) int {
	// above[j] turns a[:i-1] into b[:j], row[j] turns a[:i], and before[j] a[:i-2].
	var before, above []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row = above, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := above[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(above[j]+1, row[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
