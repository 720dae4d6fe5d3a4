// Empty: with a file in assembly the compiler lets functions have no body, which
// go:linkname in doze_linux.go gives to them.
