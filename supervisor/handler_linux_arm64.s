#include "go_asm.h"
#include "textflag.h"

// The handler of caught signals: see handler_linux_amd64.s.
TEXT noteSignal<>(SB), NOSPLIT|NOFRAME, $0
	MOVW siginfo_code(R1), R3
	CMPW $0, R3
	BLE  note
	SUB  $1, R0, R3
	MOVD $const_faults, R4
	LSR  R3, R4, R4
	TBZ  $0, R4, note
	MOVD ·runtimeHandler(SB), R3
	B    (R3)

note:
	// write(pipeIn, info, sizeof *info)
	MOVW ·pipeIn(SB), R0
	MOVD $siginfo__size, R2
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
