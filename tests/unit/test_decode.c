/* Relocation: pairs of assembly compared byte by byte, shapes that are refused, and random functions that must do the
 * same from their relocated beginning. CDM_TEST_SEED repeats a run.
 *
 * limit: 60 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "offload/base/arena.h"
#include "shim/decode.h"
#include "tests/patch/enter.h"

#define NEED 5
#define FROM ((uintptr_t)0x10000000)
#define TO ((uintptr_t)0x10100000)

/* ---- pairs ---------------------------------------------------------------------------------------------- */

/* Labels: 0 begins the function, 1 stands where the trampoline jumps back to, 2 begins the trampoline, 3 is something
 * that is referred to. rel32 is a displacement, from TO, to a label of the function at FROM; back jumps to label 1. */
__asm__(".macro rel32 target trailing=0\n"
	"	.long (\\target - 0b) - 0x100000 - (. + 4 + \\trailing - 2b)\n"
	".endm\n"
	".macro inner target\n" /* to a label of the trampoline itself */
	"	.long \\target - . - 4\n"
	".endm\n"
	".macro returning target\n" /* push FROM + target */
	"	.byte 0x68\n .long 0x10000000 + (\\target - 0b)\n"
	"	.byte 0xc7, 0x44, 0x24, 0x04\n .long 0\n"
	".endm\n"
	".macro back\n"
	"	.byte 0xe9\n rel32 1b\n"
	".endm\n");

#define CODE(label, text)                                                                                              \
	__asm__(".pushsection .rodata\n"                                                                               \
		".p2align 4\n" #label ":\n" text "\n" #label "_end:\n"                                                 \
		".popsection\n");                                                                                      \
	extern const uint8_t label[], label##_end[]

struct pair {
	const char *name;
	const uint8_t *before, *before_end, *after, *after_end;
};

#define PAIR(name, before, after)                                                                                      \
	CODE(before_##name, "0:\n" before);                                                                            \
	CODE(after_##name, "2:\n" after)

PAIR(frame, "push %rbp\n mov %rsp, %rbp\n push %rbx\n 1: xor %eax, %eax\n ret",
     "push %rbp\n mov %rsp, %rbp\n push %rbx\n back");
PAIR(one, "sub $0x108, %rsp\n 1: ret", "sub $0x108, %rsp\n back");
PAIR(endbr, "endbr64\n push %r15\n push %r14\n push %r13\n 1: ret",
     "endbr64\n push %r15\n push %r14\n push %r13\n back");
PAIR(imm64, "movabs $0x1122334455667788, %rax\n 1: ret", "movabs $0x1122334455667788, %rax\n back");
PAIR(nops, "nop\n xchg %ax, %ax\n nopl 8(%rax)\n 1: ret", "nop\n xchg %ax, %ax\n nopl 8(%rax)\n back");
PAIR(rip_load, "mov 3f(%rip), %rax\n 1: ret\n 3: .quad 1", ".byte 0x48, 0x8b, 0x05\n rel32 3b\n back");
PAIR(rip_lea, "push %rax\n lea 3f(%rip), %r11\n 1: ret\n 3: .quad 1",
     "push %rax\n .byte 0x4c, 0x8d, 0x1d\n rel32 3b\n back");
PAIR(rip_imm8, "cmpl $7, 3f(%rip)\n 1: ret\n 3: .quad 1", ".byte 0x83, 0x3d\n rel32 3b 1\n .byte 7\n back");
PAIR(rip_imm32, "movl $0x11223344, 3f(%rip)\n 1: ret\n 3: .quad 1",
     ".byte 0xc7, 0x05\n rel32 3b 4\n .long 0x11223344\n back");
PAIR(rip_lock, "lock incl 3f(%rip)\n 1: ret\n 3: .quad 1", ".byte 0xf0, 0xff, 0x05\n rel32 3b\n back");
PAIR(rip_sse, "palignr $3, 3f(%rip), %xmm0\n 1: ret\n .p2align 4\n 3: .quad 1, 2",
     ".byte 0x66, 0x0f, 0x3a, 0x0f, 0x05\n rel32 3b 1\n .byte 3\n back");
PAIR(rip_vex, "vmovups 3f(%rip), %ymm2\n 1: ret\n 3: .quad 1", ".byte 0xc5, 0xfc, 0x10, 0x15\n rel32 3b\n back");
PAIR(rip_evex, "vmovups 3f(%rip), %zmm1\n 1: ret\n 3: .quad 1",
     ".byte 0x62, 0xf1, 0x7c, 0x48, 0x10, 0x0d\n rel32 3b\n back");
PAIR(jcc8, "test %edi, %edi\n je 3f\n push %rbx\n 1: nop\n 3: ret",
     "test %edi, %edi\n .byte 0x0f, 0x84\n rel32 3b\n push %rbx\n back");
PAIR(jcc32, ".byte 0x0f, 0x8f\n .long 3f - . - 4\n 1: nop\n 3: ret", ".byte 0x0f, 0x8f\n rel32 3b\n back");
PAIR(jcc_hint, "test %edi, %edi\n .byte 0x2e, 0x75, 3f - . - 1\n 1: nop\n 3: ret",
     "test %edi, %edi\n .byte 0x0f, 0x85\n rel32 3b\n back");
PAIR(jmp8, "jmp 3f\n .byte 0xcc, 0xcc, 0xcc\n 1: .p2align 4, 0xcc\n 3: ret", ".byte 0xe9\n rel32 3b\n back");
PAIR(jmp32, ".byte 0xe9\n .long 3f - . - 4\n 1: nop\n 3: ret", ".byte 0xe9\n rel32 3b\n back");
PAIR(jmp_bnd, ".byte 0xf2, 0xe9\n .long 3f - . - 4\n 1: nop\n 3: ret", ".byte 0xe9\n rel32 3b\n back");
PAIR(jmp_memory, "jmp *3f(%rip)\n 1: nop\n 3: .quad 1", ".byte 0xff, 0x25\n rel32 3b\n back");
PAIR(jmp_register, "mov %rdi, %rax\n notrack jmp *%rax\n 1: nop", "mov %rdi, %rax\n notrack jmp *%rax\n back");
PAIR(call, "sub $8, %rsp\n call 3f\n 1: nop\n 3: ret", "sub $8, %rsp\n returning 1b\n .byte 0xe9\n rel32 3b\n back");
PAIR(call_memory, "call *3f(%rip)\n 1: nop\n 3: .quad 1", "returning 1b\n .byte 0xff, 0x25\n rel32 3b\n back");
PAIR(call_register, "mov %rdi, %rax\n call *%rax\n 1: ret", "mov %rdi, %rax\n returning 1b\n jmp *%rax\n back");
PAIR(call_r11, "push %rbx\n push %rbx\n call *8(%r11)\n 1: ret",
     "push %rbx\n push %rbx\n returning 1b\n jmp *8(%r11)\n back");
PAIR(loop, "loop 3f\n push %rbx\n push %rbx\n push %rbx\n 1: nop\n 3: ret",
     ".byte 0xe2, 2, 0xeb, 5, 0xe9\n rel32 3b\n push %rbx\n push %rbx\n push %rbx\n back");
PAIR(jrcxz, "push %rbx\n jrcxz 3f\n push %rbx\n push %rbx\n 1: nop\n 3: ret",
     "push %rbx\n .byte 0xe3, 2, 0xeb, 5, 0xe9\n rel32 3b\n push %rbx\n push %rbx\n back");
PAIR(jecxz, "push %rbx\n jecxz 3f\n push %rbx\n 1: nop\n 3: ret",
     "push %rbx\n .byte 0x67, 0xe3, 2, 0xeb, 5, 0xe9\n rel32 3b\n push %rbx\n back");
PAIR(inner_forward, "test %edi, %edi\n je 3f\n 3: push %rbx\n 1: ret",
     "test %edi, %edi\n .byte 0x0f, 0x84\n inner 4f\n 4: push %rbx\n back");
PAIR(inner_backward, "3: dec %ecx\n jne 3b\n push %rbx\n 1: ret",
     "4: dec %ecx\n .byte 0x0f, 0x85\n inner 4b\n push %rbx\n back");
PAIR(inner_kept, "endbr64\n push %rbx\n 3: dec %ecx\n jne 3b\n 1: ret",
     "endbr64\n push %rbx\n 4: dec %ecx\n .byte 0x0f, 0x85\n inner 4b\n back");
PAIR(short_int3, "xor %eax, %eax\n ret\n .byte 0xcc, 0xcc\n 1: .p2align 4, 0xcc", "xor %eax, %eax\n ret\n back");
PAIR(short_nop, "endbr64\n ret\n .byte 0x66, 0x2e, 0x0f, 0x1f\n 1: .byte 0x84, 0, 0, 0, 0, 0, 0x90",
     "endbr64\n ret\n back");
/* A constant that reads like a jump into the first bytes (jmp -0x0c), and one into itself. */
PAIR(constant, "push %rbp\n mov %rsp, %rbp\n push %rbx\n 1: mov $0xf5eb90, %eax\n mov $0xf2eb9090, %eax\n ret",
     "push %rbp\n mov %rsp, %rbp\n push %rbx\n back");
/* A call of itself. */
PAIR(recursive, "push %rbp\n mov %rsp, %rbp\n push %rbx\n 1: call 0b\n ret",
     "push %rbp\n mov %rsp, %rbp\n push %rbx\n back");

#define ROW(name)                                                                                                      \
	{                                                                                                              \
#name, before_##name, before_##name##_end, after_##name, after_##name##_end                            \
	}
static const struct pair pairs[] = {
	ROW(frame),      ROW(one),        ROW(endbr),        ROW(imm64),    ROW(nops),          ROW(rip_load),
	ROW(rip_lea),    ROW(rip_imm8),   ROW(rip_imm32),    ROW(rip_lock), ROW(rip_sse),       ROW(rip_vex),
	ROW(rip_evex),   ROW(jcc8),       ROW(jcc32),        ROW(jcc_hint), ROW(jmp8),          ROW(jmp32),
	ROW(jmp_bnd),    ROW(jmp_memory), ROW(jmp_register), ROW(call),     ROW(call_memory),   ROW(call_register),
	ROW(call_r11),   ROW(loop),       ROW(jrcxz),        ROW(jecxz),    ROW(inner_forward), ROW(inner_backward),
	ROW(inner_kept), ROW(short_int3), ROW(short_nop),    ROW(constant), ROW(recursive),
};

static void require_capstone(void)
{
	const char *why;

	if (cdm_decode_open(&why) == -ENOENT)
		cr_skip_test("%s", why);
}

static struct cdm_code code_of(const uint8_t *begin, const uint8_t *end)
{
	size_t n = (size_t)(end - begin);

	return (struct cdm_code){begin, n, n, FROM};
}

static void dump(const char *what, const uint8_t *p, size_t n)
{
	fprintf(stderr, "  %-9s", what);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, " %02x", p[i]);
	fprintf(stderr, "\n");
}

Test(decode, pairs)
{
	require_capstone();
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const struct pair *p = &pairs[i];
		struct cdm_code code = code_of(p->before, p->before_end);
		size_t want = (size_t)(p->after_end - p->after);
		struct cdm_relocated r;
		const char *why = "";
		int err = cdm_decode_relocate(&code, NEED, TO, &r, &why);

		cr_assert_eq(err, 0, "%s: %s", p->name, why);
		if (r.len != want || memcmp(r.code, p->after, want) != 0) {
			dump("expected", p->after, want);
			dump("got", r.code, r.len);
			cr_assert_fail("%s", p->name);
		}
	}
}

/* ---- refused ------------------------------------------------------------------------------------------------ */

CODE(no_room, "xor %eax, %eax\n ret\n push %rbx");
CODE(no_padding, "ret\n nop\n nop\n nop\n nop\n nop\n push %rbx\n nop\n .p2align 4");
CODE(cut, "push %rbx\n push %rbx");
CODE(cut_inside, "push %rbx\n .byte 0x48, 0x81, 0xec");
CODE(short_jump, "push %rbp\n 3: mov %rsp, %rbp\n push %rbx\n dec %edi\n jne 3b\n ret");
CODE(short_loop, "push %rbp\n 3: mov %rsp, %rbp\n push %rbx\n loop 3b\n ret");
CODE(long_jump, "push %rbp\n 3: mov %rsp, %rbp\n push %rbx\n .skip 300, 0x90\n jmp 3b");
CODE(long_jcc, "push %rbp\n 3: mov %rsp, %rbp\n push %rbx\n .skip 300, 0x90\n jne 3b\n ret");
CODE(long_call, "push %rbp\n 3: mov %rsp, %rbp\n push %rbx\n .skip 300, 0x90\n call 3b\n ret");
CODE(to_start, "3: mov (%rdi), %al\n inc %rdi\n test %al, %al\n jne 3b\n ret");
CODE(to_endbr, "endbr64\n 3: mov (%rdi), %al\n inc %rdi\n test %al, %al\n jne 3b\n ret");
CODE(behind_unknown, "push %rbp\n 3: mov %rsp, %rbp\n push %rbx\n .byte 0x06\n jmp 3b");
CODE(to_padding, "xor %eax, %eax\n ret\n 3: nop\n nop\n .p2align 4, 0x90\n jmp 3b");
CODE(call_first, "call *%rax\n push %rbx\n push %rbx\n push %rbx\n ret");
CODE(call_stack, "call *0x1000(%rsp)\n ret");
CODE(far_call, "push %rbx\n push %rbx\n lcall *8(%rdi)\n ret");
CODE(transaction, "xbegin 3f\n 3: ret");
CODE(unknown, ".byte 0x06, 0x06, 0x06, 0x06, 0x06, 0x06");
CODE(breakpoint, "int3\n push %rbx\n push %rbx\n push %rbx\n push %rbx\n push %rbx\n ret");
CODE(operand16, "push %rbx\n .byte 0x66, 0x0f, 0x84, 0, 0, 0, 0\n ret");
CODE(address32, "mov 3f(%eip), %eax\n 3: ret");
CODE(into_middle, "test %edi, %edi\n .byte 0x74, 1\n mov $5, %eax\n ret");

struct refusal {
	const char *name;
	const uint8_t *begin, *end;
	int err;
	const char *why;
};
#define REFUSED(name, err, why)                                                                                        \
	{                                                                                                              \
#name, name, name##_end, err, why                                                                      \
	}
static const struct refusal refusals[] = {
	REFUSED(no_room, ENOSPC, "the function is too short"),
	REFUSED(no_padding, ENOSPC, "the function is too short"),
	REFUSED(cut, ENOSPC, "the function is too short"),
	REFUSED(cut_inside, EILSEQ, "an instruction that capstone does not know"),
	REFUSED(short_jump, ENOTSUP, "the function jumps into its first bytes"),
	REFUSED(short_loop, ENOTSUP, "the function jumps into its first bytes"),
	REFUSED(long_jump, ENOTSUP, "the function jumps into its first bytes"),
	REFUSED(long_jcc, ENOTSUP, "the function jumps into its first bytes"),
	REFUSED(long_call, ENOTSUP, "the function jumps into its first bytes"),
	REFUSED(to_start, ENOTSUP, "the function jumps into its first bytes"),
	REFUSED(to_endbr, ENOTSUP, "the function jumps into its first bytes"),
	REFUSED(behind_unknown, ENOTSUP, "the function jumps into its first bytes"),
	REFUSED(to_padding, ENOTSUP, "the function jumps into its first bytes"),
	REFUSED(call_first, ENOTSUP, "a call among the first bytes that returns into them"),
	REFUSED(call_stack, ENOTSUP, "a call through the stack or an indexed table among the first bytes"),
	REFUSED(far_call, ENOTSUP, "a far call among the first bytes"),
	REFUSED(transaction, ENOTSUP, "a transaction begins among the first bytes"),
	REFUSED(unknown, EILSEQ, "an instruction that capstone does not know"),
	REFUSED(breakpoint, ENOTSUP, "a breakpoint among the first bytes"),
	REFUSED(operand16, ENOTSUP, "a jump with an odd prefix among the first bytes"),
	REFUSED(address32, ENOTSUP, "an address of 32 bits among the first bytes"),
	REFUSED(into_middle, ENOTSUP, "a jump into the middle of an instruction"),
};

Test(decode, refused)
{
	require_capstone();
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const struct refusal *f = &refusals[i];
		struct cdm_code code = code_of(f->begin, f->end);
		struct cdm_relocated r;
		const char *why = "";
		int err = cdm_decode_relocate(&code, NEED, TO, &r, &why);

		cr_expect_eq(err, -f->err, "%s: %d %s", f->name, err, why);
		cr_expect_str_eq(why, f->why, "%s: %s", f->name, why);
	}
}

Test(decode, out_of_reach)
{
	struct cdm_code code = code_of(before_rip_load, before_rip_load_end);
	struct cdm_relocated r;
	const char *why = "";

	require_capstone();
	cr_assert_eq(cdm_decode_relocate(&code, NEED, FROM + 0x7fff0000, &r, &why), 0, "%s", why);
	cr_assert_eq(cdm_decode_relocate(&code, NEED, FROM + 0x80010000, &r, &why), -ERANGE);
	code.from = (uintptr_t)1 << 40;
	cr_assert_eq(cdm_decode_relocate(&code, NEED, TO, &r, &why), -ERANGE);
}

/* ---- capstone ------------------------------------------------------------------------------------------- */

Test(decode, in_use)
{
	const char *why = "";

	if (!dlopen("libcapstone.so.4", RTLD_LAZY) && !dlopen("libcapstone.so.5", RTLD_LAZY))
		cr_skip_test("capstone is not installed");
	cr_assert_eq(cdm_decode_open(&why), -EBUSY);
	cr_assert_str_eq(why, "the program uses capstone itself");
	cr_assert_eq(cdm_decode_open(&why), -EBUSY);
}

/* Decoding takes nothing from the program's malloc, nor from the arena. */
Test(decode, memory)
{
	struct cdm_code code = code_of(before_rip_load, before_rip_load_end);
	struct cdm_relocated r;
	const char *why = "";

	require_capstone();
	size_t arena = cdm_arena_bytes(), used = mallinfo2().uordblks;
	for (int i = 0; i < 100; i++)
		cr_assert_eq(cdm_decode_relocate(&code, NEED, TO, &r, &why), 0, "%s", why);
	cr_assert_eq(cdm_arena_bytes(), arena);
	cr_assert_eq(mallinfo2().uordblks, used);
}

/* ---- random bytes: nothing is read beyond what there is -------------------------------------------------- */

static uint64_t state;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint64_t seed(void)
{
	const char *s = getenv("CDM_TEST_SEED");
	uint64_t value = s ? strtoull(s, NULL, 0) : (uint64_t)time(NULL) * 2654435761u ^ (uint64_t)getpid();

	state = value = value ? value : 1;
	next_random();
	return value;
}

Test(decode, random_bytes)
{
	uint8_t *end = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t with = seed();
	int good = 0;

	require_capstone();
	end += 4096;
	mprotect(end, 4096, PROT_NONE);
	for (int i = 0; i < 100000; i++) {
		size_t n = next_random() % 64;
		struct cdm_code code = {end - n, next_random() % 4 ? n : 0, n, FROM};
		struct cdm_relocated r;
		const char *why = NULL;

		for (size_t k = 1; k <= n; k++)
			end[-k] = (uint8_t)next_random();
		int err = cdm_decode_relocate(&code, NEED, TO, &r, &why);
		good += !err;
		cr_assert(err ? why != NULL : r.len <= sizeof(r.code) && r.displaced >= NEED && r.displaced <= n,
			  "CDM_TEST_SEED=%lu", with);
	}
	printf("random bytes: %d of 100000 relocated; CDM_TEST_SEED=%lu\n", good, with);
}

/* ---- random functions: what they do ------------------------------------------------------------------------ */

/* The area: the function, its helper, its trampoline and its data. */
static uint8_t *area;
#define HELPER (area + 0x4000)
#define TRAMPOLINE (area + 0x8000)
#define DATA (area + 0x10000)
#define DATA_SIZE 512

/* $: 1 random byte; #: 4 of them; @: 4 bytes, displacement of the data (8-aligned); &: of the pointer to the helper;
 * >: 1 byte, <: 4 bytes, displacement to a later instruction; ^: 1 byte, to an earlier one; !: 4 bytes, to the helper. rcx is
 * written by loops alone; rsp, rdi (the data), r11 (the helper) and r15 (the stack pointer) stay. */
static const char *const shapes[] = {
	"53",          "55",         "4154",        "4155",       "50",           "ff35@",
	"6a$",         "68#",        "4889c3",      "89f5",       "4989d0",       "31c0",
	"4531c0",      "31db",       "4883c0$",     "81c3#",      "05#",          "4d01c8",
	"85ff",        "84c0",       "3d#",         "4839f2",     "f7da",         "48f7d8",
	"ffc0",        "41ffc8",     "488d44b7$",   "488d5c2420", "0fb6c2",       "4863c2",
	"480fafc2",    "0fc8",       "0f9fc0",      "480f44c2",   "480f42d8",     "19c0",
	"4811d8",      "c1c007",     "48d1e8",      "b8#",        "48b8##",       "49c7c2#",
	"41b9#",       "66480f6ec0", "f20f58c1",    "660fefc0",   "0f28c8",       "660f7ec2",
	"90",          "6690",       "0f1f00",      "0f1f4000",   "660f1f440000", "662e0f1f840000000000",
	"f8",          "f9",         "f5",          "99",         "4898",         "488b47$",
	"48895 7$",    "c6470811",   "f30f1efa",    "488b05@",    "8915@",        "8305@$",
	"48813d@#",    "488d1d@",    "4c8d05@",     "f20f100d@",  "f2480f2a05@",  "f0480fc105@",
	"f605@$",      "0f1005@",    "660fc405@03", "6905@#",     "48c705@#",     "c605@$",
	"660fba2d@05", "480fb105@",  "0f9405@",     "74>",        "75>",          "7c>",
	"76>",         "7b>",        "0f84<",       "0f8d<",      "2e75>",        "3e0f82<",
	"eb>",         "e9<",        "f2e9<",       "e3>",        "67e3>",        "e2>",
	"e1>",         "e0>",        "e2^",         "e8!",        "ff15&",        "41ffd3",
	"f2e8!",
};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))
#define ITEMS 16

struct built {
	uint8_t bytes[512];
	size_t len, at[ITEMS + 1], items;
	struct {
		size_t at, size, item;
		bool back;
	} jump[ITEMS];
	size_t jumps;
	bool loops;
};

static void add_number(struct built *b, uint64_t value, size_t n)
{
	memcpy(b->bytes + b->len, &value, n);
	b->len += n;
}

/* Bytes of the instruction that follow a displacement. */
static size_t trailing(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += *s == '$' ? 2 : *s == '#' ? 8 : 1;
	return n / 2;
}

static void add_operand(struct built *b, const char *s, size_t item)
{
	uint8_t *end = area + b->len + 4 + trailing(s + 1);

	switch (*s) {
	case '$':
		add_number(b, next_random() & 0x78, 1);
		return;
	case '#':
		add_number(b, next_random(), 4);
		return;
	case '@':
		add_number(b, (uint64_t)(DATA + next_random() % 32 * 8 - end), 4);
		return;
	case '&':
		add_number(b, (uint64_t)(DATA + DATA_SIZE - end), 4);
		return;
	case '!':
		add_number(b, (uint64_t)(HELPER - end), 4);
		return;
	}
	b->jump[b->jumps].at = b->len;
	b->jump[b->jumps].size = *s == '<' ? 4 : 1;
	b->jump[b->jumps].item = item;
	b->jump[b->jumps++].back = *s == '^';
	b->len += *s == '<' ? 4 : 1;
}

static int digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void add_shape(struct built *b, const char *s, size_t item)
{
	while (*s) {
		if (*s == ' ') {
			s++;
		} else if ((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'f')) {
			const char *low = s[1] == ' ' ? s + 2 : s + 1;
			b->bytes[b->len++] = (uint8_t)(digit(*s) << 4 | digit(*low));
			s = low + 1;
		} else {
			add_operand(b, s++, item);
		}
	}
}

/* A loop backwards ends only if nothing else counts rcx down. */
static bool is_allowed(struct built *b, const char *s)
{
	bool counts = strncmp(s, "e2", 2) == 0 || strncmp(s, "e1", 2) == 0 || strncmp(s, "e0", 2) == 0;

	if (counts && b->loops)
		return false;
	b->loops |= counts;
	return true;
}

static void build(struct built *b)
{
	memset(b, 0, sizeof(*b));
	b->items = 4 + next_random() % (ITEMS - 4);
	if (next_random() % 2)
		add_number(b, 0xfa1e0ff3, 4);
	for (size_t i = 0; i < b->items; i++) {
		const char *s = shapes[next_random() % SHAPES];

		/* The beginning matters: short instructions and jumps there, more often than elsewhere. */
		for (int k = 0; i < 3 && k < 2 && strlen(s) > 6; k++)
			s = shapes[next_random() % SHAPES];
		while (!is_allowed(b, s))
			s = shapes[next_random() % SHAPES];
		b->at[i] = b->len;
		add_shape(b, s, i);
	}
	b->at[b->items] = b->len;
	memcpy(b->bytes + b->len, "\x4c\x89\xfc\xc3", 4); /* mov %r15, %rsp; ret */
	b->len += 4;
	for (size_t i = 0; i < b->jumps; i++) {
		size_t item = b->jump[i].item;
		size_t to = b->jump[i].back ? next_random() % (item + 1) : item + 1 + next_random() % (b->items - item);
		int64_t rel = (int64_t)b->at[to] - (int64_t)(b->jump[i].at + b->jump[i].size);
		memcpy(b->bytes + b->jump[i].at, &rel, b->jump[i].size);
	}
}

static void make_area(void)
{
	area = mmap(NULL, 0x20000, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* mov (%rsp), %r10; add %r10, 0x100(%rdi); xor %eax, %edx; ret */
	memcpy(HELPER, "\x4c\x8b\x14\x24\x4c\x01\x97\x00\x01\x00\x00\x31\xc2\xc3", 14);
}

struct outcome {
	struct registers r;
	uint8_t data[DATA_SIZE + 8];
};

static void run_it(const void *entry, const struct registers *with, const uint8_t *data, struct outcome *o)
{
	o->r = *with;
	memcpy(DATA, data, DATA_SIZE + 8);
	enter_with(&o->r, entry);
	o->r.flags &= FLAGS;
	memcpy(o->data, DATA, sizeof(o->data));
}

static void make_state(struct registers *r, uint8_t *data, bool loops)
{
	uint8_t *helper = HELPER;

	for (int i = 0; i < 16; i++)
		r->gpr[i] = next_random() >> next_random() % 64;
	r->gpr[RCX] = next_random() % 5;
	if (r->gpr[RCX] == 0)
		r->gpr[RCX] = loops ? 1 : (uint64_t)1 << 32; /* jecxz and jrcxz differ; a loop ends */
	r->gpr[RDI] = (uint64_t)DATA;
	r->gpr[R11] = (uint64_t)helper;
	r->flags = (next_random() & 0x8c5) | 0x202;
	for (int i = 0; i < 4; i++)
		r->xmm[i / 2][i % 2] = next_random();
	for (int i = 0; i < DATA_SIZE; i++)
		data[i] = (uint8_t)next_random();
	memcpy(data + DATA_SIZE, &helper, 8);
}

static uint64_t case_seed;
static struct built *case_built;

static void on_crash(int sig)
{
	fprintf(stderr, "signal %d; CDM_TEST_SEED=%lu\n", sig, case_seed);
	dump("function", case_built->bytes, case_built->len);
	dump("moved", TRAMPOLINE, 64);
	_exit(1);
}

static struct {
	const char *why;
	int count;
} reasons[16];

static void count_reason(const char *why)
{
	int i = 0;

	while (i < 15 && reasons[i].why && strcmp(reasons[i].why, why) != 0)
		i++;
	reasons[i].why = why;
	reasons[i].count++;
}

/* Whether it was relocated, and then did the same. */
static bool try_one(struct built *b)
{
	struct registers with;
	uint8_t data[DATA_SIZE + 8];
	struct outcome want, got;
	struct cdm_relocated r;
	const char *why = "";

	build(b);
	make_state(&with, data, b->loops);
	memcpy(area, b->bytes, b->len);
	struct cdm_code code = {area, b->len, b->len, (uintptr_t)area};
	if (cdm_decode_relocate(&code, NEED, (uintptr_t)TRAMPOLINE, &r, &why)) {
		count_reason(why);
		return false;
	}
	memcpy(TRAMPOLINE, r.code, r.len);
	run_it(area, &with, data, &want);
	memset(area + r.kept, 0xcc, r.displaced - r.kept);
	run_it(TRAMPOLINE, &with, data, &got);
	if (memcmp(&want, &got, sizeof(want)) != 0) {
		dump("function", b->bytes, b->len);
		dump("moved", r.code, r.len);
		for (int i = 0; i < 16; i++)
			fprintf(stderr, "  %2d %016lx %016lx\n", i, want.r.gpr[i], got.r.gpr[i]);
		cr_assert_fail("not the same; CDM_TEST_SEED=%lu", case_seed);
	}
	return true;
}

Test(decode, random_functions)
{
	static struct built b;
	struct timespec begin, now;
	int same = 0, cases = 0;

	require_capstone();
	case_seed = seed();
	case_built = &b;
	make_area();
	for (int i = 0; i < 4; i++)
		signal((int[]){SIGSEGV, SIGILL, SIGTRAP, SIGBUS}[i], on_crash);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		for (int i = 0; i < 1000; i++, cases++)
			same += try_one(&b);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - begin.tv_sec < 8 && cases < 400000);
	printf("random functions: %d, %d relocated and the same; CDM_TEST_SEED=%lu\n", cases, same, case_seed);
	for (int i = 0; i < 16 && reasons[i].why; i++)
		printf("  refused %7d %s\n", reasons[i].count, reasons[i].why);
	cr_assert_gt(same, cases / 2);
}
