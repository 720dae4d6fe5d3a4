#include "go_asm.h"
#include "textflag.h"

// All assembly of this package; bare_linux_amd64.s describes each function. Bare Go is called
// with R26 as its closure.

TEXT poolrun_entry(SB), NOSPLIT|NOFRAME, $0
	MOVD $poolrun_mmap(SB), R0
	MOVD R0, ·thriftyMmap(SB)
	MOVD $noteDirect<>(SB), R0
	MOVD R0, ·directHandler(SB)
	MOVD $endHandler<>(SB), R0
	MOVD R0, ·directRestorer(SB)
	MOVD RSP, R0
	MOVD $·bareStack+(const_bareStackSize-64)(SB), R1
	AND  $~15, R1
	MOVD R1, RSP
	MOVD $·bareStack+const_bareStackSize(SB), g
	MOVD R0, 8(RSP)
	CALL ·enter(SB)
	MOVD 16(RSP), R0
	MOVD R0, RSP
	B    _rt0_arm64_linux(SB)

TEXT noteDirect<>(SB), NOSPLIT, $48
	MOVW R0, R0
	MOVD $·bareStack+const_bareStackSize(SB), g
	MOVD ·handleDirect(SB), R26
	MOVD (R26), R2
	CALL (R2)
	RET

TEXT noteSignal<>(SB), NOSPLIT|NOFRAME, $0
	MOVW siginfo_code(R1), R3
	CMPW $0, R3
	BLE  note
	SUB  $1, R0, R3
	MOVD $const_faultSignals, R4
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

// func clone(flags uintptr, pidOut *atomic.Int32, child func(*spawned), argument *spawned, stack uintptr) (pid int)
TEXT ·clone(SB), NOSPLIT, $0-48
	MOVD flags+0(FP), R0
	MOVD child+16(FP), R10
	MOVD argument+24(FP), R11
	MOVD stack+32(FP), R1
	MOVD pidOut+8(FP), R2
	MOVD $0, R3
	MOVD $0, R4
	MOVD $220, R8
	SVC
	CBZ  R0, child
	MOVD R0, pid+40(FP)
	RET

child:
	MOVD $·bareStack+const_bareStackSize(SB), g
	MOVD $0, R29
	MOVD R11, R0
	MOVD R10, R26
	MOVD (R26), R1
	CALL (R1)
	BRK

// The arguments of poolrun_mmap are in the registers that Go expects. C preserves g.
TEXT poolrun_mmap(SB), NOSPLIT, $80
	MOVD g, 72(RSP)
	MOVD $·bareStack+const_bareStackSize(SB), g
	MOVD ·mapThrift(SB), R26
	MOVD (R26), R6
	CALL (R6)
	MOVD 72(RSP), g
	RET
