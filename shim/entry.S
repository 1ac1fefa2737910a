/* The entry points: a stub per name of blas.def, and the gate that all of them, and those made at run time, share.
 *
 *   program --> stub: r11 = its slot --> cdm_gate --- nested ------------------------------> original
 *                                           |-- cdm_gate_look(): little work --------------> original
 *                                           |---- computed at once ------------------------> returns
 *                                           |---- visit: a better library's function ------> returns
 *                                           `-- cdm_gate_slow(): offloaded ----------------> returns
 *                                                   |---- untimed -------------------------> original
 *                                                   `---- timed: original, cdm_gate_ended() > returns
 *
 * Whatever the calling convention, arguments stay as the caller passed them: an original is reached by a jump, with every
 * argument register, the stack and the return address untouched, hidden string lengths included. Only a timed
 * original is called from a frame of the gate's own, with the caller's stack arguments copied.
 *
 * struct cdm_regs and struct cdm_frame of gate.h describe what is saved here; r10, r11 and rax are scratch.
 */
#include "shim/gate_layout.h"

	.section .note.GNU-stack, "", @progbits
	.text

.macro PUSH register
	pushq \register
	.cfi_adjust_cfa_offset 8
.endm

.macro POP register
	popq \register
	.cfi_adjust_cfa_offset -8
.endm

/* What cdm_gate_made has pushed. */
.macro POP_ALL
	.irp register, %r11, %r10, %rax, %rdi, %rsi, %rdx, %rcx, %r8, %r9
	POP \register
	.endr
.endm

/* Into the frame at rsp: the registers that arguments come in. */
.macro SAVE_VECTORS
	.irp i, 0, 1, 2, 3, 4, 5, 6, 7
	movups %xmm\i, CDM_FRAME_XMM+16*\i(%rsp)
	.endr
.endm

/* ---- the gate --------------------------------------------------------------------------------------- */

	.hidden cdm_gate
	.globl cdm_gate
	.type cdm_gate, @function
	.p2align 4
cdm_gate:
	.cfi_startproc
	movq cdm_inside@gottpoff(%rip), %rax
	cmpl $0, %fs:(%rax)
	jne nested
	movq cdm_gate_mark@gottpoff(%rip), %rax
	movzwl CDM_SLOT_KEY(%r11), %r10d
	cmpl %r10d, %fs:CDM_MARK_KEY(%rax)
	je marked
look:
	PUSH %r11
	PUSH %r9
	PUSH %r8
	PUSH %rcx
	PUSH %rdx
	PUSH %rsi
	PUSH %rdi
	movq %rsp, %rdi
	subq $8*CDM_REGS_SCALARS, %rsp
	.cfi_adjust_cfa_offset 8*CDM_REGS_SCALARS
	movq %xmm0, (%rsp)
	movq %xmm1, 8(%rsp)
	movq %r11, %rsi
	call cdm_gate_look
	addq $8*CDM_REGS_SCALARS, %rsp
	.cfi_adjust_cfa_offset -8*CDM_REGS_SCALARS
	POP %rdi
	POP %rsi
	POP %rdx
	POP %rcx
	POP %r8
	POP %r9
	POP %r11
	testq %rax, %rax
	jz slow
	js visit /* CDM_GATE_VISIT */
	jmp *%rax

/* A better library's function, between the gate's two stores to *cdm_gate_visited. */
visit:
	pushq %rbp
	.cfi_remember_state
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbp, 0
	movq %rsp, %rbp
	.cfi_def_cfa_register %rbp
	movzbl CDM_SLOT_WORDS(%r11), %r10d
	leal 1(%r10), %r11d
	andl $-2, %r11d
	shll $3, %r11d
	subq %r11, %rsp
1:	subl $1, %r10d /* one at a time: the caller has just stored them so */
	js 2f
	movq 16(%rbp,%r10,8), %r11
	movq %r11, (%rsp,%r10,8)
	jmp 1b
2:	btrq $CDM_GATE_VISIT, %rax
	call *%rax
	movq cdm_gate_visited@gottpoff(%rip), %r10
	movq %fs:(%r10), %r10
	decl (%r10)
	leave
	.cfi_restore_state
	ret

/* The same call as the one before it, out of that one's original? See struct cdm_mark. */
marked:
	movq (%rsp), %r10
	subq %fs:CDM_MARK_LIBRARY(%rax), %r10
	cmpq %fs:CDM_MARK_LENGTH(%rax), %r10
	jae look
	movq %fs:CDM_MARK_STACK(%rax), %r10
	subq %rsp, %r10
	movzbl CDM_SLOT_DEPTH(%r11), %eax
	cmpq %rax, %r10
	jle look
	jmp pass

nested:
	jl verify
pass:
	movq CDM_SLOT_ORIGINAL(%r11), %rax
	testq %rax, %rax
	jz slow
	jmp *%rax

/* cdm_inside < 0: a patched entry point is being called to see that it arrives here. */
verify:
	movq cdm_gate_arrived@gottpoff(%rip), %rax
	movq %r11, %fs:(%rax)
	xorl %eax, %eax
	ret

slow:
	pushq %rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbp, 0
	movq %rsp, %rbp
	.cfi_def_cfa_register %rbp
	subq $CDM_FRAME_SIZE, %rsp
	andq $-16, %rsp
	movq %rdi, CDM_FRAME_GP+0(%rsp)
	movq %rsi, CDM_FRAME_GP+8(%rsp)
	movq %rdx, CDM_FRAME_GP+16(%rsp)
	movq %rcx, CDM_FRAME_GP+24(%rsp)
	movq %r8, CDM_FRAME_GP+32(%rsp)
	movq %r9, CDM_FRAME_GP+40(%rsp)
	SAVE_VECTORS
	movq %r11, CDM_FRAME_SLOT(%rsp)
	leaq 16(%rbp), %rax
	movq %rax, CDM_FRAME_STACK(%rsp)
	movq 8(%rbp), %rax
	movq %rax, CDM_FRAME_SITE(%rsp)
	movq %rsp, %rdi
	call cdm_gate_slow
	testq %rax, %rax
	jz done
	movq %rax, %r11
	movq CDM_FRAME_GP+0(%rsp), %rdi
	movq CDM_FRAME_GP+8(%rsp), %rsi
	movq CDM_FRAME_GP+16(%rsp), %rdx
	movq CDM_FRAME_GP+24(%rsp), %rcx
	movq CDM_FRAME_GP+32(%rsp), %r8
	movq CDM_FRAME_GP+40(%rsp), %r9
	movups CDM_FRAME_XMM+0(%rsp), %xmm0
	movups CDM_FRAME_XMM+16(%rsp), %xmm1
	movups CDM_FRAME_XMM+32(%rsp), %xmm2
	movups CDM_FRAME_XMM+48(%rsp), %xmm3
	movups CDM_FRAME_XMM+64(%rsp), %xmm4
	movups CDM_FRAME_XMM+80(%rsp), %xmm5
	movups CDM_FRAME_XMM+96(%rsp), %xmm6
	movups CDM_FRAME_XMM+112(%rsp), %xmm7
	cmpl $0, CDM_FRAME_TIMED(%rsp)
	jne timed
	.cfi_remember_state
	leave
	.cfi_def_cfa %rsp, 8
	.cfi_restore %rbp
	jmp *%r11
	.cfi_restore_state

timed:
	movslq CDM_FRAME_WORDS(%rsp), %r10
	leaq (,%r10,8), %rax
	addq $15, %rax
	andq $-16, %rax
	subq %rax, %rsp
1:	subq $1, %r10
	js 2f
	movq 16(%rbp,%r10,8), %rax
	movq %rax, (%rsp,%r10,8)
	jmp 1b
2:	call *%r11
	leaq -CDM_FRAME_SIZE(%rbp), %rsp
	andq $-16, %rsp
	movq %rax, CDM_FRAME_RESULT+0(%rsp)
	movups %xmm0, CDM_FRAME_XMM+0(%rsp)
	movups %xmm1, CDM_FRAME_XMM+16(%rsp)
	movq %rsp, %rdi
	call cdm_gate_ended
done:
	movq CDM_FRAME_RESULT+0(%rsp), %rax
	movups CDM_FRAME_XMM+0(%rsp), %xmm0
	movups CDM_FRAME_XMM+16(%rsp), %xmm1
	leave
	.cfi_def_cfa %rsp, 8
	.cfi_restore %rbp
	ret
	.cfi_endproc
	.size cdm_gate, .-cdm_gate

	.hidden cdm_gate_done
	.globl cdm_gate_done
	.type cdm_gate_done, @function
	.p2align 4
cdm_gate_done:
	ret
	.size cdm_gate_done, .-cdm_gate_done

/* ---- the gate of functions made at run time ---------------------------------------------------------- */

/* A function that is patched may have callers in its own source file, and a compiler that has seen both keeps values across the
 * call in whatever registers the function leaves alone (GCC's -fipa-ra). So this gate changes nothing but where a result is.
 *
 * Called by a stub (stub.c), whose code goes on with a jump to the original, with the arguments above the program's return
 * address. There are three ways out: return, and the original runs; or done, back to the program. */
	.hidden cdm_gate_made
	.globl cdm_gate_made
	.type cdm_gate_made, @function
	.p2align 4
cdm_gate_made:
	.cfi_startproc
	.cfi_def_cfa_offset 16
	PUSH %r9
	PUSH %r8
	PUSH %rcx
	PUSH %rdx
	PUSH %rsi
	PUSH %rdi
	PUSH %rax
	PUSH %r10
	PUSH %r11
	leaq 24(%rsp), %rdi
	movq 72(%rsp), %rsi
	movq CDM_STUB_SLOT(%rsi), %rsi
	call cdm_gate_look_made
	testl %eax, %eax
	jnz made_slow
	POP_ALL
	ret

made_slow:
	.cfi_def_cfa_offset 88
	cmpl $2, %eax
	je made_return
	pushq %rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbp, 0
	movq %rsp, %rbp
	.cfi_def_cfa_register %rbp
	subq cdm_xsave_bytes(%rip), %rsp
	andq $-64, %rsp
	movq %rsp, %r11
	xorl %eax, %eax
	movl $8, %ecx
	leaq 512(%rsp), %rdi
	rep stosq
	movl $-1, %eax
	movl $-1, %edx
	xsave64 (%rsp)
	subq $CDM_FRAME_SIZE, %rsp
	movq 32(%rbp), %rax
	movq %rax, CDM_FRAME_GP+0(%rsp)
	movq 40(%rbp), %rax
	movq %rax, CDM_FRAME_GP+8(%rsp)
	movq 48(%rbp), %rax
	movq %rax, CDM_FRAME_GP+16(%rsp)
	movq 56(%rbp), %rax
	movq %rax, CDM_FRAME_GP+24(%rsp)
	movq 64(%rbp), %rax
	movq %rax, CDM_FRAME_GP+32(%rsp)
	movq 72(%rbp), %rax
	movq %rax, CDM_FRAME_GP+40(%rsp)
	SAVE_VECTORS
	movq 80(%rbp), %rax
	movq CDM_STUB_SLOT(%rax), %rax
	movq %rax, CDM_FRAME_SLOT(%rsp)
	leaq 96(%rbp), %rax
	movq %rax, CDM_FRAME_STACK(%rsp)
	movq 88(%rbp), %rax
	movq %rax, CDM_FRAME_SITE(%rsp)
	pushq %r11
	pushq %r11
	leaq 16(%rsp), %rdi
	call cdm_gate_slow_made
	popq %rdi
	popq %rdi
	movq %rax, %rcx
	movl $-1, %eax
	movl $-1, %edx
	xrstor64 (%rdi)
	testq %rcx, %rcx
	jz made_done
	leave
	.cfi_remember_state
	.cfi_def_cfa %rsp, 88
	.cfi_restore %rbp
	POP_ALL
	ret
	.cfi_restore_state

made_done: /* what the frame says is returned */
	movl CDM_FRAME_RETURNS(%rsp), %ecx
	cmpl $'v', %ecx
	je 4f
	cmpl $'i', %ecx
	je 3f
	movups CDM_FRAME_XMM+0(%rsp), %xmm0
	cmpl $'z', %ecx
	jne 4f
	movups CDM_FRAME_XMM+16(%rsp), %xmm1
	jmp 4f
3:	movq CDM_FRAME_RESULT(%rsp), %rax
	movq %rax, 24(%rbp)
4:	leave
	.cfi_def_cfa %rsp, 88
	.cfi_restore %rbp
made_return:
	POP_ALL
	leaq 8(%rsp), %rsp
	.cfi_def_cfa_offset 8
	ret
	.cfi_endproc
	.size cdm_gate_made, .-cdm_gate_made

/* ---- the stubs -------------------------------------------------------------------------------------- */

	.p2align 4
	row = 0
.macro STUB name, variant
	.globl \name
	.type \name, @function
\name:
	endbr64
	leaq cdm_slots+CDM_SLOT_SIZE*(CDM_VARIANTS*row+\variant)(%rip), %r11
	jmp cdm_gate
	.size \name, .-\name
.endm

/* In the order of enum cdm_variant. */
#define STUB(name, variant) STUB name, CDM_VARIANT_##variant;
#define STUBS_F(name) CDM_FORTRAN_NAMES(STUB, name)
#define STUBS_FC(name) STUBS_F(name) CDM_CBLAS_NAMES(STUB, name)
#define STUBS_FS(name) STUBS_F(name) CDM_CBLAS_NAMES(STUB, name##_sub)
#define CDM_ROUTINE(name, type, shape, doors) STUBS_##doors(name) row = row + 1;
#include "shim/blas.def"
