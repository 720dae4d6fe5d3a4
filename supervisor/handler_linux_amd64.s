#include "go_asm.h"
#include "textflag.h"

// The handler of caught signals (int signal, siginfo_t *info, void *context), see
// caught_linux.go: writes info into the pipe; or, where the kernel has sent one of the
// faults, goes on in the runtime's handler.
TEXT noteSignal<>(SB), NOSPLIT|NOFRAME, $0
	CMPL siginfo_code(SI), $0
	JLE  note
	LEAL -1(DI), CX
	MOVQ $const_faults, AX
	BTQ  CX, AX
	JCC  note
	MOVQ ·runtimeHandler(SB), AX
	JMP  AX

note:
	// write(pipeIn, info, sizeof *info)
	MOVL ·pipeIn(SB), DI
	MOVL $siginfo__size, DX
	MOVL $1, AX
	SYSCALL
	RET

// rt_sigreturn()
TEXT endHandler<>(SB), NOSPLIT|NOFRAME, $0
	MOVL $15, AX
	SYSCALL
	INT  $3

// func handler() (note, end uintptr)
TEXT ·handler(SB), NOSPLIT, $0-16
	LEAQ noteSignal<>(SB), AX
	MOVQ AX, note+0(FP)
	LEAQ endHandler<>(SB), AX
	MOVQ AX, end+8(FP)
	RET
