#include "go_asm.h"
#include "textflag.h"

// poolrun_entry is the program's entry point, see entry_linux.go and bare_linux.go.
TEXT poolrun_entry(SB), NOSPLIT|NOFRAME, $0
	LEAQ  poolrun_mmap(SB), AX
	MOVQ  AX, ·thriftyMmap(SB)
	MOVQ  SP, AX // enter's argument
	LEAQ  ·bare+(const_bareStackSize-64)(SB), SP // room for enter to spill its argument
	ANDQ  $~15, SP
	LEAQ  ·bare+const_bareStackSize(SB), R14
	XORPS X15, X15
	MOVQ  ·enterBare(SB), DX
	MOVQ  (DX), CX
	CALL  CX
	MOVQ  AX, SP // its result
	JMP   _rt0_amd64_linux(SB)
