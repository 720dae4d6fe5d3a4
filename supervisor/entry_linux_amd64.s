#include "textflag.h"

// poolrun_entry is the program's entry point, see inherit.go. It runs on the
// stack that the kernel made, before there is any Go, and leaves the stack
// pointer as it found it for the runtime's own entry point.
TEXT poolrun_entry(SB), NOSPLIT|NOFRAME, $0
	SUBQ $32, SP // a struct kernel_sigaction

	// rt_sigaction(n, NULL, SP, 8) for each n from 64 down to 1
	MOVQ $64, R12
	XORQ R13, R13

signal:
	SHLQ $1, R13
	MOVQ R12, DI
	XORQ SI, SI
	MOVQ SP, DX
	MOVQ $8, R10
	MOVQ $13, AX
	SYSCALL
	TESTQ AX, AX
	JNE  nextSignal
	CMPQ 0(SP), $1 // SIG_IGN
	JNE  nextSignal
	ORQ  $1, R13

nextSignal:
	SUBQ $1, R12
	JNE  signal
	MOVQ R13, ·ignoredAtEntry(SB)

	// fcntl(fd, F_GETFD) for each fd from 2 down to 0
	MOVQ $2, R12
	XORQ R13, R13

descriptor:
	SHLQ $1, R13
	MOVQ R12, DI
	MOVQ $1, SI
	MOVQ $72, AX
	SYSCALL
	CMPQ AX, $-9 // EBADF
	JNE  nextDescriptor
	ORQ  $1, R13

nextDescriptor:
	SUBQ $1, R12
	JGE  descriptor
	MOVQ R13, ·closedAtEntry(SB)

	ADDQ $32, SP
	JMP  _rt0_amd64_linux(SB)
