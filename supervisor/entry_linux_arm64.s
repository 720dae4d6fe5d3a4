#include "textflag.h"

DATA oneProcessor<>+0(SB)/8, $"GOMAXPRO"
DATA oneProcessor<>+8(SB)/8, $"CS=1\x00\x00\x00\x00"
GLOBL oneProcessor<>(SB), RODATA|NOPTR, $16

// poolrun_entry: see entry_linux_amd64.s.
TEXT poolrun_entry(SB), NOSPLIT|NOFRAME, $0
	SUB $32, RSP

	MOVD $64, R20
	MOVD $0, R21

signal:
	LSL  $1, R21
	MOVD R20, R0
	MOVD $0, R1
	MOVD RSP, R2
	MOVD $8, R3
	MOVD $134, R8
	SVC
	CBNZ R0, nextSignal
	MOVD 0(RSP), R4
	CMP  $1, R4
	BNE  nextSignal
	ORR  $1, R21

nextSignal:
	SUB  $1, R20
	CBNZ R20, signal
	MOVD R21, ·ignoredAtEntry(SB)

	MOVD $2, R20
	MOVD $0, R21

descriptor:
	LSL  $1, R21
	MOVD R20, R0
	MOVD $1, R1
	MOVD $25, R8
	SVC
	CMN  $9, R0
	BNE  nextDescriptor
	ORR  $1, R21

nextDescriptor:
	SUBS $1, R20
	BGE  descriptor
	MOVD R21, ·closedAtEntry(SB)

	MOVD $30, R0
	MOVD $167, R8
	SVC
	MOVD R0, ·slackAtEntry(SB)
	MOVD $29, R0
	MOVD $4000000, R1
	MOVD $167, R8
	SVC

	ADD $32, RSP

	MOVD 0(RSP), R4
	ADD  $2, R4
	ADD  R4<<3, RSP, R5
	MOVD R5, ·environAtEntry(SB)
	SUB  $16, RSP
	MOVD RSP, R6

word:
	MOVD 16(R6), R7
	MOVD R7, 0(R6)
	ADD  $8, R6
	SUBS $1, R4
	BNE  word
	MOVD $oneProcessor<>(SB), R7
	MOVD R7, 0(R6)
	MOVD R7, 8(R6)

	B _rt0_arm64_linux(SB)
