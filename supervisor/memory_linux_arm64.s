#include "go_asm.h"
#include "textflag.h"

// The mmap of memory_linux_amd64.s. The arguments are where Go wants them; but C has g
// preserved.
TEXT poolrun_mmap(SB), NOSPLIT, $80
	MOVD g, 72(RSP)
	MOVD $·bare+const_bareStackSize(SB), g
	MOVD ·mapThrift(SB), R26
	MOVD (R26), R6
	CALL (R6)
	MOVD 72(RSP), g
	RET
