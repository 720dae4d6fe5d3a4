#include "go_asm.h"
#include "textflag.h"

// func clone(flags uintptr, pidOut *atomic.Int32, child func(*spawned), argument *spawned) (pid int)
TEXT ·clone(SB), NOSPLIT, $0-40
	MOVD flags+0(FP), R0
	MOVD child+16(FP), R10
	MOVD argument+24(FP), R11
	MOVD $·bare+(const_bareStackSize-64)(SB), R1
	AND  $~15, R1
	MOVD pidOut+8(FP), R2
	MOVD $0, R3
	MOVD $0, R4
	MOVD $220, R8
	SVC
	CBZ  R0, child
	MOVD R0, pid+32(FP)
	RET

child:
	MOVD $·bare+const_bareStackSize(SB), g
	MOVD $0, R29
	MOVD R11, R0
	MOVD R10, R26
	MOVD (R26), R1
	CALL (R1)
	BRK
