package bare

import (
	"syscall"
	"unsafe"
)

// A Text is a text that bare Go builds in a buffer. What does not fit is dropped.
type Text struct {
	buffer []byte
	start  int // of the C string
	length int
	cut    bool
}

// In begins a text in a buffer.
//
//go:nosplit
func In(buffer []byte) Text { return Text{buffer: buffer} }

// Add appends a text.
//
//go:nosplit
func (t *Text) Add(text string) {
	for i := range len(text) {
		t.AddByte(text[i])
	}
}

// AddByte appends a byte.
//
//go:nosplit
func (t *Text) AddByte(c byte) {
	if uint(t.length) >= uint(len(t.buffer)) {
		t.cut = true
		return
	}
	t.buffer[t.length] = c
	t.length++
}

// AddNumber appends a number, in base 10 or 16.
//
//go:nosplit
func (t *Text) AddNumber(n, base uint64) {
	var digits [20]byte
	i := len(digits)
	for {
		i--
		digits[i&31%20] = "0123456789abcdef"[n%base&15]
		if n /= base; n == 0 {
			break
		}
	}
	for ; i < len(digits); i++ {
		t.AddByte(digits[i&31%20])
	}
}

// End ends a C string, and returns its text. The next one begins behind it.
//
//go:nosplit
func (t *Text) End() string {
	t.AddByte(0)
	begin := unsafe.Add(unsafe.Pointer(unsafe.SliceData(t.buffer)), t.start)
	length := t.length - 1 - t.start
	t.start = t.length
	return unsafe.String((*byte)(begin), max(length, 0))
}

// Room is how many bytes still fit.
func (t *Text) Room() int { return len(t.buffer) - t.length }

// IsCut reports whether something was dropped.
//
//go:nosplit
func (t *Text) IsCut() bool { return t.cut }

// String is the text, which shares the buffer.
//
//go:nosplit
func (t *Text) String() string { return unsafe.String(unsafe.SliceData(t.buffer), t.length) }

// Write writes the text to standard error.
//
//go:nosplit
func (t *Text) Write() { WriteError(t.String()) }

// WriteError writes a text to standard error.
//
//go:nosplit
func WriteError(text string) {
	Sys(syscall.SYS_WRITE, 2, uintptr(unsafe.Pointer(unsafe.StringData(text))), uintptr(len(text)), 0)
}
