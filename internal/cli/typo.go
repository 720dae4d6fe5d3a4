package cli

import (
	"fmt"
	"strings"
)

// unknownCommand returns the error for a first word that is not the name of a command. Since no
// pool is given either, the word is most likely a typing error.
func unknownCommand(word string) error {
	text := fmt.Sprintf("%q is not a command of poolrun, and there is no --pool to run it in", word)
	if near := nearest(word, commandNames()); near != "" {
		text += fmt.Sprintf(": did you mean %q?", near)
	}
	return fmt.Errorf("%s", text)
}

// nearest returns the candidate that a word most likely stands for: a candidate that the word
// abbreviates, or else the one that takes the fewest changes, with at most one change for every
// three letters. Of several equals it returns the first.
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
	// row[j] turns a[:i] into b[:j], above[j] turns a[:i-1], and before[j] a[:i-2].
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
