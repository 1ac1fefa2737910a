/* Relocating the first instructions of a function. See decode.h. */
#include "shim/decode.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "offload/base/lock.h"
#include "offload/base/sys.h"
#include "shim/disassembler.h"

static cdm_lock lock; /* held to ask the disassembler once it is open */

/* ---- instructions --------------------------------------------------------------------------------------- */

enum kind {
	PLAIN,       /* runs anywhere, a RIP-relative operand adjusted */
	PADDING,     /* a nop or int3 */
	JCC,         /* conditional, rel8 or rel32 */
	JMP,         /* rel8 or rel32 */
	LOOP,        /* loop, loope, loopne, jrcxz: rel8 only */
	CALL,        /* rel32 */
	CALL_MEMORY, /* through a register or memory */
	END,         /* control does not come out behind it */
	REFUSED
};

struct insn {
	enum kind kind;
	size_t at, len; /* in the function */
	size_t opcode;  /* offset of the first opcode byte behind the prefixes */
	size_t disp;    /* offset of a RIP-relative displacement; 0: none */
	int64_t target; /* of jumps and calls, relative to the function's first byte */
	bool short_address;
	const char *why;
};

/* An instruction's bytes behind the legacy and REX prefixes, and which of these there are. */
struct prefixes {
	size_t len;
	bool operand_size, address_size;
};

static bool is_rex(uint8_t b)
{
	return (b & 0xf0) == 0x40;
}

static struct prefixes read_prefixes(const uint8_t *b, size_t len)
{
	struct prefixes p = {0};

	for (; p.len + 1 < len; p.len++) {
		if (!is_rex(b[p.len]) && !memchr("\x66\x67\xf2\xf3\xf0\x2e\x36\x3e\x26\x64\x65", b[p.len], 11))
			break;
		p.operand_size |= b[p.len] == 0x66;
		p.address_size |= b[p.len] == 0x67;
	}
	return p;
}

static int64_t read_rel8(const uint8_t *b)
{
	return (int8_t)*b;
}

static int64_t read_rel32(const uint8_t *b)
{
	int32_t v;

	memcpy(&v, b, sizeof(v));
	return v;
}

/* The kind of a jump whose displacement is part of the opcode's instruction: op is the opcode, two bytes of it when
 * it starts with 0f. PLAIN: it is none. */
static enum kind relative_kind(const uint8_t *op, size_t *rel_at, bool *is_short)
{
	*rel_at = 1;
	*is_short = true;
	if ((op[0] & 0xf0) == 0x70)
		return JCC;
	if (op[0] >= 0xe0 && op[0] <= 0xe3)
		return LOOP;
	if (op[0] == 0xeb)
		return JMP;
	*is_short = false;
	if (op[0] == 0xe8)
		return CALL;
	if (op[0] == 0xe9)
		return JMP;
	*rel_at = 2;
	return op[0] == 0x0f && (op[1] & 0xf0) == 0x80 ? JCC : PLAIN;
}

static enum kind refuse(struct insn *i, const char *why)
{
	i->why = why;
	return REFUSED;
}

static enum kind group5(struct insn *i, uint8_t modrm)
{
	switch (modrm >> 3 & 7) {
	case 2: /* rsp is not what it was when the return address is on the stack */
		if ((modrm & 7) == 4)
			return refuse(i, "a call through the stack or an indexed table among the first bytes");
		return CALL_MEMORY;
	case 3:
		return refuse(i, "a far call among the first bytes");
	case 4:
	case 5:
		return END;
	}
	return PLAIN;
}

static enum kind other_kind(struct insn *i, const uint8_t *op, size_t len)
{
	switch (op[0]) {
	case 0x90:
		return PADDING;
	case 0xcc:
		return PADDING;
	case 0xc2:
	case 0xc3:
	case 0xca:
	case 0xcb:
	case 0xcf:
	case 0xf4:
		return END;
	case 0xc7:
		return len > 1 && op[1] == 0xf8 ? refuse(i, "a transaction begins among the first bytes") : PLAIN;
	case 0xff:
		return group5(i, op[1]);
	case 0x0f:
		if (op[1] == 0x1f)
			return PADDING;
		return op[1] == 0x0b ? END : PLAIN;
	}
	return PLAIN;
}

static void classify(const uint8_t *b, struct insn *i)
{
	struct prefixes p = read_prefixes(b, i->len);
	const uint8_t *op = b + p.len;
	size_t rel_at;
	bool is_short;

	i->opcode = p.len;
	i->short_address = p.address_size;
	i->kind = relative_kind(op, &rel_at, &is_short);
	if (i->kind == PLAIN) {
		i->kind = other_kind(i, op, i->len - p.len);
		return;
	}
	/* With 66 the two makers of processors disagree on what it is. */
	if (p.operand_size || p.len + rel_at + (is_short ? 1 : 4) != i->len)
		i->kind = refuse(i, "a jump with an odd prefix among the first bytes");
	else
		i->target = (int64_t)(i->at + i->len) + (is_short ? read_rel8(op + rel_at) : read_rel32(op + rel_at));
}

static bool is_endbr64(const uint8_t *b, size_t avail)
{
	return avail >= 4 && memcmp(b, "\xf3\x0f\x1e\xfa", 4) == 0;
}

/* The instruction at offset at. False: not known. Caller holds the lock. */
static bool decode(const struct cdm_code *code, size_t at, struct insn *i)
{
	const uint8_t *b = code->bytes + at;
	struct cdm_answer a;

	memset(i, 0, sizeof(*i));
	i->at = at;
	if (is_endbr64(b, code->avail - at)) {
		i->len = 4;
		return true;
	}
	if (!cdm_disassembler_ask(b, code->avail - at, code->from + at, &a) || a.length == 0 || a.length > 15)
		return false;
	i->len = a.length;
	classify(b, i);
	if (a.modrm_at && (a.modrm & 0xc7) == 0x05) {
		if (b[a.modrm_at] != a.modrm || a.disp_at != a.modrm_at + 1 || a.disp_at + 4u > a.length ||
		    read_rel32(b + a.disp_at) != a.disp)
			return false;
		i->disp = a.disp_at;
		if (i->short_address)
			i->kind = refuse(i, "an address of 32 bits among the first bytes");
	}
	return true;
}

/* ---- what is displaced ---------------------------------------------------------------------------------- */

#define INSNS_MAX 8 /* need is 5: at most five instructions reach it, one byte each */

struct head {
	const struct cdm_code *code;
	struct insn insn[INSNS_MAX];
	size_t to[INSNS_MAX]; /* their offsets in the result */
	size_t count, kept, end;
};

static int fail(int err, const char **why, const char *text)
{
	*why = text;
	return -err;
}

/* Behind the last instruction of a short function: padding up to the next multiple of 16 makes room. */
static bool is_padded(const struct head *h, size_t need)
{
	size_t at = h->end, stop = cdm_round_up(h->code->from + at, 16) - h->code->from;
	struct insn i;

	if (stop - h->kept < need || stop > h->code->avail)
		return false;
	for (; at < stop; at += i.len)
		if (!decode(h->code, at, &i) || i.kind != PADDING || at + i.len > stop)
			return false;
	return true;
}

static int take_head(struct head *h, size_t need, const char **why)
{
	size_t limit = h->code->size ? h->code->size : h->code->avail;
	struct insn *i = h->insn;

	h->kept = h->end = is_endbr64(h->code->bytes, limit) ? 4 : 0;
	for (; h->end - h->kept < need; i++) {
		if (h->count == INSNS_MAX)
			return fail(ENOTSUP, why, "too many instructions");
		if (h->end >= limit)
			return fail(ENOSPC, why, "the function is too short");
		if (!decode(h->code, h->end, i))
			return fail(EILSEQ, why, "an instruction that capstone does not know");
		if (i->kind == REFUSED)
			return fail(ENOTSUP, why, i->why);
		if (h->code->bytes[h->end] == 0xcc)
			return fail(ENOTSUP, why, "a breakpoint among the first bytes");
		h->count++;
		h->end += i->len;
		if (h->end > limit)
			return fail(ENOSPC, why, "the function is too short");
		if ((i->kind == END || i->kind == JMP) && h->end - h->kept < need) {
			if (!is_padded(h, need))
				return fail(ENOSPC, why, "the function is too short");
			h->end = h->kept + need;
			break;
		}
		/* It returns behind itself: that must not be under the patch. */
		if ((i->kind == CALL || i->kind == CALL_MEMORY) && h->end - h->kept < need)
			return fail(ENOTSUP, why, "a call among the first bytes that returns into them");
	}
	return 0;
}

/* Whether the bytes at p, read as a jump or call, lead into the displaced bytes. A call to the very beginning is the
 * function calling itself. */
static bool leads_inside(const struct head *h, size_t p, size_t limit)
{
	const uint8_t *b = h->code->bytes + p;
	size_t rel_at;
	bool is_short;
	enum kind kind = PLAIN;
	uint8_t op[2] = {b[0], p + 1 < limit ? b[1] : 0};

	if (op[0] == 0xc7 && op[1] == 0xf8) {
		rel_at = 2;
		is_short = false;
	} else {
		kind = relative_kind(op, &rel_at, &is_short);
		if (kind == PLAIN)
			return false;
	}
	size_t len = rel_at + (is_short ? 1 : 4);
	if (len > limit - p)
		return false;
	int64_t target = (int64_t)(p + len) + (is_short ? read_rel8(b + rel_at) : read_rel32(b + rel_at));
	return target >= (kind == CALL ? 1 : 0) && target < (int64_t)h->end;
}

/* Whether the rest of the function jumps into the displaced bytes. A jump is in the bytes whatever the boundaries of
 * instructions are, so they are searched for it first; decoding tells what of the found is inside an instruction. */
static bool is_jumped_into(const struct head *h)
{
	size_t limit = h->code->size ? h->code->size : h->code->avail;
	struct insn i = h->insn[h->count - 1];
	size_t next = i.at + i.len;

	for (size_t p = next; p < limit; p++) {
		if (!leads_inside(h, p, limit))
			continue;
		while (next <= p) {
			if (!decode(h->code, next, &i))
				return true;
			next += i.len;
		}
		/* Prefixes come before: only the opcode's own place counts. */
		if (p == i.at + i.opcode)
			return true;
	}
	return false;
}

/* ---- the same at another address -------------------------------------------------------------------------- */

struct output {
	struct cdm_relocated *r;
	uintptr_t to;
	bool out_of_reach;
};

static void put(struct output *o, const void *p, size_t n)
{
	if (o->r->len + n <= sizeof(o->r->code))
		memcpy(o->r->code + o->r->len, p, n);
	o->r->len += n;
}

/* A displacement of 4 bytes, the instruction's last but for trailing ones. */
static void put_rel32(struct output *o, uintptr_t target, size_t trailing)
{
	int64_t rel = (int64_t)(target - (o->to + o->r->len + 4 + trailing));
	int32_t rel32 = (int32_t)rel;

	o->out_of_reach |= rel != rel32;
	put(o, &rel32, sizeof(rel32));
}

#define RETURN_ADDRESS 13 /* the length of put_return_address() */

static size_t relocated_size(const struct insn *i)
{
	switch (i->kind) {
	case JCC:
		return 6;
	case JMP:
		return 5;
	case LOOP:
		return 9 + i->short_address;
	case CALL:
		return RETURN_ADDRESS + 5;
	case CALL_MEMORY:
		return RETURN_ADDRESS + i->len;
	default:
		return i->len;
	}
}

/* Where a jump of the displaced bytes leads now: false when it is into the middle of one of their instructions. */
static bool moved_target(const struct head *h, const struct insn *i, uintptr_t to, uintptr_t *target)
{
	*target = h->code->from + (uintptr_t)i->target;
	if (i->target < 0 || i->target >= (int64_t)h->end)
		return true;
	if (i->target == 0) {
		*target = to;
		return true;
	}
	for (size_t k = 0; k < h->count; k++) {
		*target = to + h->to[k];
		if ((int64_t)h->insn[k].at == i->target)
			return true;
	}
	return false;
}

/* Verbatim, or with the opcode's ModRM byte changed by flip, and a RIP-relative operand adjusted. */
static void put_plain(struct output *o, const struct head *h, const struct insn *i, uint8_t flip)
{
	const uint8_t *b = h->code->bytes + i->at;
	size_t modrm = i->opcode + 1;

	if (!i->disp) {
		put(o, b, modrm < i->len ? modrm : i->len);
		if (modrm < i->len) {
			put(o, &(uint8_t){b[modrm] ^ flip}, 1);
			put(o, b + modrm + 1, i->len - modrm - 1);
		}
		return;
	}
	put(o, b, i->disp - 1);
	put(o, &(uint8_t){b[i->disp - 1] ^ flip}, 1);
	size_t trailing = i->len - i->disp - 4;
	put_rel32(o, h->code->from + i->at + i->len + (uintptr_t)read_rel32(b + i->disp), trailing);
	put(o, b + i->disp + 4, trailing);
}

/* push imm32; mov dword [rsp+4], imm32: the address behind the call, where unwinders and the callee know it. */
static void put_return_address(struct output *o, uintptr_t address)
{
	uint32_t low = (uint32_t)address, high = (uint32_t)(address >> 32);

	put(o, "\x68", 1);
	put(o, &low, 4);
	put(o, "\xc7\x44\x24\x04", 4);
	put(o, &high, 4);
}

static void put_insn(struct output *o, const struct head *h, const struct insn *i, uintptr_t target)
{
	const uint8_t *op = h->code->bytes + i->at + i->opcode;

	switch (i->kind) {
	case JCC:
		put(o, (uint8_t[]){0x0f, 0x80 | (op[op[0] == 0x0f] & 0x0f)}, 2);
		put_rel32(o, target, 0);
		return;
	case LOOP: /* loop taken; jmp behind; taken: jmp target */
		put(o, "\x67", i->short_address);
		put(o, (uint8_t[]){op[0], 2, 0xeb, 5}, 4);
		put(o, "\xe9", 1);
		put_rel32(o, target, 0);
		return;
	case CALL:
		put_return_address(o, h->code->from + i->at + i->len);
		put(o, "\xe9", 1);
		put_rel32(o, target, 0);
		return;
	case JMP:
		put(o, "\xe9", 1);
		put_rel32(o, target, 0);
		return;
	case CALL_MEMORY: /* ff /2 becomes ff /4 */
		put_return_address(o, h->code->from + i->at + i->len);
		put_plain(o, h, i, 0x10 ^ 0x20);
		return;
	default:
		put_plain(o, h, i, 0);
	}
}

/* The result, decoded once more: a RIP-relative operand is where it was. */
static bool is_same(const struct output *o, const struct head *h, const struct insn *i, size_t at)
{
	struct cdm_answer a;

	if (i->kind == CALL_MEMORY)
		at += RETURN_ADDRESS;
	else if (i->kind != PLAIN && i->kind != END && i->kind != PADDING)
		return true;
	if (is_endbr64(o->r->code + at, o->r->len - at))
		return true;
	if (!cdm_disassembler_ask(o->r->code + at, o->r->len - at, o->to + at, &a) || a.length != i->len)
		return false;
	return !i->disp || (a.disp_at == i->disp &&
			    o->to + at + (uintptr_t)a.disp ==
				    h->code->from + i->at + (uintptr_t)read_rel32(h->code->bytes + i->at + i->disp));
}

/* With a shadow stack a return address that is pushed is not one. */
static bool has_shadow_stack(void)
{
	enum { ARCH_SHSTK_STATUS = 0x5005 };
	uint64_t features = 0;

	return cdm_sys3(SYS_arch_prctl, ARCH_SHSTK_STATUS, (long)&features, 0) == 0 && (features & 1);
}

static int emit(struct head *h, uintptr_t to, struct cdm_relocated *r, const char **why)
{
	struct output o = {.r = r, .to = to};
	size_t at = h->kept;

	for (size_t k = 0; k < h->count; at += relocated_size(&h->insn[k]), k++)
		h->to[k] = at;
	put(&o, h->code->bytes, h->kept);
	for (size_t k = 0; k < h->count; k++) {
		uintptr_t target = 0;
		const struct insn *i = &h->insn[k];

		if ((i->kind == CALL || i->kind == CALL_MEMORY) && has_shadow_stack())
			return fail(ENOTSUP, why, "a call among the first bytes, and a shadow stack");
		if (!moved_target(h, i, to, &target))
			return fail(ENOTSUP, why, "a jump into the middle of an instruction");
		put_insn(&o, h, i, target);
	}
	put(&o, "\xe9", 1);
	put_rel32(&o, h->code->from + h->end, 0);
	if (r->len > sizeof(r->code))
		return fail(ENOSPC, why, "the relocated instructions are too long");
	if (o.out_of_reach)
		return fail(ERANGE, why, "an operand or a jump is out of reach");
	for (size_t k = 0; k < h->count; k++)
		if (!is_same(&o, h, &h->insn[k], h->to[k]))
			return fail(EILSEQ, why, "an instruction that is not the same at another address");
	r->kept = h->kept;
	r->displaced = h->end;
	r->count = h->count;
	return 0;
}

static int relocate(struct head *h, size_t need, uintptr_t to, struct cdm_relocated *out, const char **why)
{
	int err = take_head(h, need, why);

	if (err)
		return err;
	if (is_jumped_into(h))
		return fail(ENOTSUP, why, "the function jumps into its first bytes");
	out->len = 0;
	return emit(h, to, out, why);
}

int cdm_decode_relocate(const struct cdm_code *code, size_t need, uintptr_t to, struct cdm_relocated *out,
			const char **why)
{
	struct head h = {.code = code};
	int err = cdm_decode_open(why);

	if (err)
		return err;
	cdm_lock_take(&lock);
	err = relocate(&h, need, to, out, why);
	cdm_lock_drop(&lock);
	return err;
}

int cdm_decode_open(const char **why)
{
	return cdm_disassembler_open(why);
}

void cdm_decode_after_fork(void)
{
	cdm_lock_reset(&lock);
	cdm_disassembler_after_fork();
}
