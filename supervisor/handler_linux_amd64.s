#include "textflag.h"

DATA one<>+0(SB)/8, $1
GLOBL one<>(SB), RODATA|NOPTR, $8

// The handler of caught signals, see caught_linux.go: notes the signal's bit in
// pending and adds one to the eventfd.
TEXT noteSignal<>(SB), NOSPLIT|NOFRAME, $0
	MOVL DI, CX
	SUBL $1, CX
	MOVQ $1, AX
	SHLQ CX, AX
	LOCK
	ORQ  AX, ·pending(SB)

	// write(wakeUps, &one, 8)
	MOVL ·wakeUps(SB), DI
	LEAQ one<>(SB), SI
	MOVL $8, DX
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
