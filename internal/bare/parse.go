package bare

// Field splits a text before and behind its first field. Fields are separated by spaces, tabs and
// newlines. The field is "" if there is none.
//
//go:norace
func Field(text string) (field, rest string) {
	begin := 0
	for begin < len(text) && isSpace(text[begin]) {
		begin++
	}
	end := begin
	for end < len(text) && !isSpace(text[end]) {
		end++
	}
	return text[begin:end], text[end:]
}

//go:norace
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' }

// Index returns where a byte is in a text first, or -1.
func Index(text string, c byte) int {
	for i := range len(text) {
		if text[i] == c {
			return i
		}
	}
	return -1
}

// Number parses an unsigned number in base 10 or 16, as strconv.ParseUint does.
//
//go:norace
func Number(text string, base uint64) (n uint64, ok bool) {
	for i := range len(text) {
		digit := uint64(16)
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			digit = uint64(c - '0')
		case c >= 'a' && c <= 'f':
			digit = uint64(c-'a') + 10
		case c >= 'A' && c <= 'F':
			digit = uint64(c-'A') + 10
		}
		if digit >= base || n > (1<<64-1-digit)/base {
			return 0, false
		}
		n = n*base + digit
	}
	return n, text != ""
}

// SignedNumber parses a number in base 10 that may have a minus sign.
func SignedNumber(text string) (n int64, ok bool) {
	negative := text != "" && text[0] == '-'
	if negative {
		text = text[1:]
	}
	u, ok := Number(text, 10)
	if !ok || u >= 1<<63 {
		return 0, false
	}
	if negative {
		return -int64(u), true
	}
	return int64(u), true
}
