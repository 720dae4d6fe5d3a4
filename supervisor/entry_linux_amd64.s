#include "textflag.h"

DATA oneProcessor<>+0(SB)/8, $"GOMAXPRO"
DATA oneProcessor<>+8(SB)/8, $"CS=1\x00\x00\x00\x00"
GLOBL oneProcessor<>(SB), RODATA|NOPTR, $16

// poolrun_entry is the program's entry point, see inherit.go and thrift.go. It
// runs on the stack that the kernel made, before there is any Go, and leaves a
// stack of the same form to the runtime's own entry point: argc, argv, NULL,
// the environment, NULL, and the auxiliary vector.
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

	// prctl(PR_GET_TIMERSLACK), prctl(PR_SET_TIMERSLACK, 4 ms)
	MOVQ $30, DI
	MOVQ $157, AX
	SYSCALL
	MOVQ AX, ·slackAtEntry(SB)
	MOVQ $29, DI
	MOVQ $4000000, SI
	MOVQ $157, AX
	SYSCALL

	ADDQ $32, SP

	// Room for two more words before the environment: argc, argv and its NULL
	// move down. Two, for the stack has to stay aligned to 16 bytes.
	MOVQ 0(SP), CX
	LEAQ 16(SP)(CX*8), AX
	MOVQ AX, ·environAtEntry(SB)
	ADDQ $2, CX
	SUBQ $16, SP
	MOVQ SP, DI

word:
	MOVQ 16(DI), AX
	MOVQ AX, 0(DI)
	ADDQ $8, DI
	SUBQ $1, CX
	JNE  word
	LEAQ oneProcessor<>(SB), AX
	MOVQ AX, 0(DI)
	MOVQ AX, 8(DI)

	JMP _rt0_amd64_linux(SB)
