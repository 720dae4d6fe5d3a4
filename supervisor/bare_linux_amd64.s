#include "go_asm.h"
#include "textflag.h"

// All assembly of this package. Bare Go is called with R14 as its g, X15 as its zero, and DX as
// its closure: see package bare.

// poolrun_entry is the program's entry point: see entry_linux.go. Bare Go calls assembly through
// wrappers that load g from the thread pointer, -8(FS), afterwards.
TEXT poolrun_entry(SB), NOSPLIT|NOFRAME, $0
	MOVQ  SP, R12
	LEAQ  poolrun_mmap(SB), AX
	MOVQ  AX, ·thriftyMmap(SB)
	LEAQ  noteDirect<>(SB), AX
	MOVQ  AX, ·directHandler(SB)
	LEAQ  endHandler<>(SB), AX
	MOVQ  AX, ·directRestorer(SB)
	LEAQ  ·bareStack+const_bareStackSize(SB), R14
	MOVQ  R14, ·threadPointer+0(SB)
	MOVL  $0x1002, DI // ARCH_SET_FS, arch_prctl(2)
	LEAQ  ·threadPointer+8(SB), SI
	MOVL  $158, AX
	SYSCALL
	LEAQ  ·bareStack+(const_bareStackSize-64)(SB), SP
	ANDQ  $~15, SP
	MOVQ  R12, 0(SP)
	CALL  ·enter(SB)
	MOVQ  8(SP), SP
	JMP   _rt0_amd64_linux(SB)

// noteDirect(int signal, siginfo_t *info, void *context) is the handler of Direct.
TEXT noteDirect<>(SB), NOSPLIT|NOFRAME, $0
	SUBQ  $40, SP // room for the callee to spill its arguments; the stack stays aligned
	MOVLQSX DI, AX
	MOVQ  SI, BX
	LEAQ  ·bareStack+const_bareStackSize(SB), R14
	XORPS X15, X15
	MOVQ  ·handleDirect(SB), DX
	MOVQ  (DX), CX
	CALL  CX
	ADDQ  $40, SP
	RET

// noteSignal(int signal, siginfo_t *info, void *context) is the handler of caught signals: see
// entry_linux.go. It writes info into the pipe. A fault that the kernel reports goes to the
// runtime's handler instead.
TEXT noteSignal<>(SB), NOSPLIT|NOFRAME, $0
	CMPL siginfo_code(SI), $0
	JLE  note
	LEAL -1(DI), CX
	MOVQ $const_faultSignals, AX
	BTQ  CX, AX
	JCC  note
	MOVQ ·runtimeHandler(SB), AX
	JMP  AX

note:
	// write(pipeIn, info, sizeof *info)
	MOVL ·pipeIn(SB), DI
	MOVL $siginfo__size, DX
	MOVL $1, AX
	SYSCALL
	RET

// endHandler calls rt_sigreturn().
TEXT endHandler<>(SB), NOSPLIT|NOFRAME, $0
	MOVL $15, AX
	SYSCALL
	INT  $3

// func handler() (note, end uintptr)
TEXT ·handler(SB), NOSPLIT, $0-16
	LEAQ noteSignal<>(SB), AX
	MOVQ AX, note+0(FP)
	LEAQ endHandler<>(SB), AX
	MOVQ AX, end+8(FP)
	RET

// func clone(flags uintptr, pidOut *atomic.Int32, child func(*spawned), argument *spawned, stack uintptr) (pid int)
TEXT ·clone(SB), NOSPLIT, $0-48
	MOVQ flags+0(FP), DI
	MOVQ child+16(FP), R12
	MOVQ argument+24(FP), R13
	MOVQ stack+32(FP), SI
	MOVQ pidOut+8(FP), DX
	XORL R10, R10
	XORL R8, R8
	MOVL $56, AX
	SYSCALL
	TESTQ AX, AX
	JEQ  child
	MOVQ AX, pid+40(FP)
	RET

child:
	LEAQ  ·bareStack+const_bareStackSize(SB), R14
	XORPS X15, X15
	XORL  BP, BP
	MOVQ  R13, AX
	MOVQ  R12, DX
	MOVQ  (DX), CX
	CALL  CX
	INT   $3 // it does not return

// void *poolrun_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset),
// in C's calling convention, on the stack of a thread, calls mapThriftily.
TEXT poolrun_mmap(SB), NOSPLIT, $64
	MOVQ  DI, AX
	MOVQ  SI, BX
	MOVL  CX, DI
	MOVL  DX, CX
	MOVL  R8, SI
	MOVL  R9, R8
	LEAQ  ·bareStack+const_bareStackSize(SB), R14
	XORPS X15, X15
	MOVQ  ·mapThrift(SB), DX
	MOVQ  (DX), R12
	CALL  R12
	RET
