package cli

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// A page is where text is laid out: lines of a width, with or without colours.
type page struct {
	width      int
	isTerminal bool
	colors     bool
	text       *strings.Builder
}

const (
	defaultWidth = 80   // of a page that is not on a terminal, if COLUMNS does not set it
	mostWidth    = 1000 // of any page
)

// newPage makes a page for a file. Only a terminal gets colours, unless NO_COLOR is set
// (https://no-color.org).
func newPage(out io.Writer) page {
	p := page{width: defaultWidth, text: new(strings.Builder)}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		p.width = n
	}
	if file, ok := out.(*os.File); ok && isTerminal(int(file.Fd())) {
		if width := int(windowSize(int(file.Fd())).Col); width > 0 {
			p.width = width
		}
		p.isTerminal = true
		p.colors = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	p.width = min(p.width, mostWidth)
	return p
}

// A style is an escape sequence of ECMA-48, "" for none.
type style string

const (
	plain  style = ""
	bold   style = "\x1b[1m"
	red    style = "\x1b[31m"
	green  style = "\x1b[32m"
	yellow style = "\x1b[33m"
	reset  style = "\x1b[m"
)

func (p page) line(text string, s style) {
	if p.isTerminal { // a longer line would take several, which --watch does not expect
		text = cutText(text, p.width)
	}
	if p.colors && s != plain {
		text = string(s) + text + string(reset)
	}
	p.text.WriteString(text + "\n")
}

// wrap writes words in as many lines as they need. Further lines are indented.
func (p page) wrap(words []string, s style) {
	const indent = "    "
	line := ""
	for _, word := range words {
		if line != "" && line != indent && length(line)+1+length(word) > p.width {
			p.line(line, s)
			line = indent + word
			continue
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	p.line(line, s)
}

// A table has columns that are as wide as their cells. The last one gets what is left of the line.
type table struct {
	head   []string
	rows   [][]string
	marked []bool // rows that need attention
	shrink []int  // the columns that are cut if the page is too narrow, in this order
}

func (t *table) add(row []string, marked bool) {
	t.rows, t.marked = append(t.rows, row), append(t.marked, marked)
}

// drop removes a column.
func (t *table) drop(column int) {
	t.head = slices.Delete(t.head, column, column+1)
	for i := range t.rows {
		t.rows[i] = slices.Delete(t.rows[i], column, column+1)
	}
	t.shrink = slices.DeleteFunc(t.shrink, func(c int) bool { return c == column })
	for i := range t.shrink {
		if t.shrink[i] > column {
			t.shrink[i]--
		}
	}
}

const (
	gap        = "  " // between two columns
	leastLast  = 8    // of the last column, before others are cut
	leastOther = 6    // of a column that is cut
)

// table writes a table. A table without a head is not written.
func (p page) table(t table) {
	if len(t.head) == 0 {
		return
	}
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], length(cell))
		}
	}
	last := len(widths) - 1
	left := p.width - last*len(gap) // for the last column
	for _, width := range widths[:last] {
		left -= width
	}
	for _, column := range t.shrink {
		if missing := min(leastLast, widths[last]) - left; missing > 0 {
			cut := min(missing, max(widths[column]-leastOther, 0))
			widths[column] -= cut
			left += cut
		}
	}
	widths[last] = max(left, min(leastLast, widths[last]))
	p.line(formatRow(t.head, widths), bold)
	for i, row := range t.rows {
		s := plain
		if t.marked[i] {
			s = yellow
		}
		p.line(formatRow(row, widths), s)
	}
}

func formatRow(row []string, widths []int) string {
	var line strings.Builder
	for i, cell := range row {
		cell = cutText(cell, widths[i])
		line.WriteString(cell)
		if i < len(row)-1 {
			line.WriteString(strings.Repeat(" ", widths[i]-length(cell)) + gap)
		}
	}
	return strings.TrimRight(line.String(), " ")
}

// length is the number of columns that a text takes on a terminal.
func length(text string) (columns int) {
	for _, r := range text {
		columns += columnsOf(r)
	}
	return columns
}

// cutText cuts a text to a number of columns.
func cutText(text string, width int) string {
	if length(text) <= width {
		return text
	}
	const mark = "..."
	if width <= len(mark) {
		return mark[:max(width, 0)]
	}
	columns := len(mark)
	for i, r := range text {
		if columns += columnsOf(r); columns > width {
			return text[:i] + mark
		}
	}
	return text
}

// columnsOf is how many columns a printable character takes: two if it is wide (Unicode Standard
// Annex #11), none if it combines with the one before, and otherwise one.
func columnsOf(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
