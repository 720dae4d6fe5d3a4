package cli

import (
	"strings"
	"unicode"
)

// printable replaces characters that would move a terminal's cursor or break a table.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// isPrintable reports whether printable is sure to leave a text as it is. It is bare Go.
func isPrintable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
