#include "go_asm.h"
#include "textflag.h"

// void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset),
// in C's calling convention, on the stack of a thread: calls mapThriftily.
TEXT poolrun_mmap(SB), NOSPLIT, $64
	MOVQ  DI, AX
	MOVQ  SI, BX
	MOVL  CX, DI
	MOVL  DX, CX
	MOVL  R8, SI
	MOVL  R9, R8
	LEAQ  ·bare+const_bareStackSize(SB), R14
	XORPS X15, X15
	MOVQ  ·mapThrift(SB), DX
	MOVQ  (DX), R12
	CALL  R12
	RET
