#include "go_asm.h"
#include "textflag.h"

// func clone(flags uintptr, pidOut *atomic.Int32, child func(*spawned), argument *spawned) (pid int)
TEXT ·clone(SB), NOSPLIT, $0-40
	MOVQ flags+0(FP), DI
	MOVQ child+16(FP), R12
	MOVQ argument+24(FP), R13
	LEAQ ·bare+(const_bareStackSize-64)(SB), SI // room for child to spill its argument
	ANDQ $~15, SI
	MOVQ pidOut+8(FP), DX
	XORL R10, R10
	XORL R8, R8
	MOVL $56, AX
	SYSCALL
	TESTQ AX, AX
	JEQ  child
	MOVQ AX, pid+32(FP)
	RET

child:
	LEAQ  ·bare+const_bareStackSize(SB), R14
	XORPS X15, X15
	XORL  BP, BP
	MOVQ  R13, AX
	MOVQ  R12, DX
	MOVQ  (DX), CX
	CALL  CX
	INT   $3 // it does not return
