/* Calls code with every register and the flags set, and keeps what it leaves. */
#ifndef CDM_TESTS_PATCH_ENTER_H
#define CDM_TESTS_PATCH_ENTER_H

#include <stdint.h>

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

struct registers {
	uint64_t gpr[16]; /* [RSP] is not set; [R15] is set to the stack pointer that code is entered with */
	uint64_t flags;
	uint64_t xmm[2][2];
};
#define FLAGS 0xcc5 /* carry, parity, zero, sign, direction, overflow */

void enter_with(struct registers *r, const void *code);
extern uint64_t enter_keep;

__asm__(".text\n"
	"enter_with:\n"
	"	push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
	"	push %rdi\n push %rsi\n"
	"	pushq 128(%rdi)\n popfq\n"
	"	movdqu 136(%rdi), %xmm0\n movdqu 152(%rdi), %xmm1\n"
	"	mov 0(%rdi), %rax\n mov 8(%rdi), %rcx\n mov 16(%rdi), %rdx\n mov 24(%rdi), %rbx\n"
	"	mov 40(%rdi), %rbp\n mov 48(%rdi), %rsi\n mov 64(%rdi), %r8\n mov 72(%rdi), %r9\n"
	"	mov 80(%rdi), %r10\n mov 88(%rdi), %r11\n mov 96(%rdi), %r12\n mov 104(%rdi), %r13\n"
	"	mov 112(%rdi), %r14\n lea -8(%rsp), %r15\n mov 56(%rdi), %rdi\n"
	"	call *(%rsp)\n"
	"	mov %rdi, enter_keep(%rip)\n"
	"	mov 8(%rsp), %rdi\n"
	"	pushfq\n popq 128(%rdi)\n cld\n"
	"	movdqu %xmm0, 136(%rdi)\n movdqu %xmm1, 152(%rdi)\n"
	"	mov %rax, 0(%rdi)\n mov %rcx, 8(%rdi)\n mov %rdx, 16(%rdi)\n mov %rbx, 24(%rdi)\n"
	"	mov %rbp, 40(%rdi)\n mov %rsi, 48(%rdi)\n mov %r8, 64(%rdi)\n mov %r9, 72(%rdi)\n"
	"	mov %r10, 80(%rdi)\n mov %r11, 88(%rdi)\n mov %r12, 96(%rdi)\n mov %r13, 104(%rdi)\n"
	"	mov %r14, 112(%rdi)\n mov %r15, 120(%rdi)\n"
	"	mov enter_keep(%rip), %rax\n mov %rax, 56(%rdi)\n"
	"	add $16, %rsp\n"
	"	pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"
	"	ret\n"
	".local enter_keep\n .comm enter_keep, 8, 8\n");

#endif
