#include "textflag.h"

DATA one<>+0(SB)/8, $1
GLOBL one<>(SB), RODATA|NOPTR, $8

// The handler of caught signals, see caught_linux.go: notes the signal's bit in
// pending and adds one to the eventfd.
TEXT noteSignal<>(SB), NOSPLIT|NOFRAME, $0
	SUB  $1, R0, R1
	MOVD $1, R2
	LSL  R1, R2, R2
	MOVD $·pending(SB), R3

again:
	LDAXR (R3), R4
	ORR   R2, R4, R4
	STLXR R4, (R3), R5
	CBNZ  R5, again

	// write(wakeUps, &one, 8)
	MOVW ·wakeUps(SB), R0
	MOVD $one<>(SB), R1
	MOVD $8, R2
	MOVD $64, R8
	SVC
	RET

// rt_sigreturn()
TEXT endHandler<>(SB), NOSPLIT|NOFRAME, $0
	MOVD $139, R8
	SVC
	BRK

// func handler() (note, end uintptr)
TEXT ·handler(SB), NOSPLIT, $0-16
	MOVD $noteSignal<>(SB), R0
	MOVD R0, note+0(FP)
	MOVD $endHandler<>(SB), R0
	MOVD R0, end+8(FP)
	RET
