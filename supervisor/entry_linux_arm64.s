#include "go_asm.h"
#include "textflag.h"

// poolrun_entry: see entry_linux_amd64.s.
TEXT poolrun_entry(SB), NOSPLIT|NOFRAME, $0
	MOVD $poolrun_mmap(SB), R0
	MOVD R0, ·thriftyMmap(SB)
	MOVD RSP, R0
	MOVD $·bare+(const_bareStackSize-64)(SB), R1
	AND  $~15, R1
	MOVD R1, RSP
	MOVD $·bare+const_bareStackSize(SB), g
	MOVD ·enterBare(SB), R26
	MOVD (R26), R1
	CALL (R1)
	MOVD R0, RSP
	B    _rt0_arm64_linux(SB)
