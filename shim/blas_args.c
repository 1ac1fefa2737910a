/* Fortran passes everything by address. CBLAS puts the storage order in front, passes integers, enumerations and real
 * scalars by value (the latter in vector registers, of which no list needs more than the eight), and hands complex
 * results back through an address at the end of the list.
 *
 * System V AMD64 ABI 3.2.3: integers and addresses take rdi rsi rdx rcx r8 r9 and then eightbytes on the stack; the upper
 * half of an eightbyte that holds an int is undefined.
 */
#include "shim/blas_args.h"

#include <string.h>

/* The numbers of the CBLAS header. */
enum { ROW_MAJOR = 101, COL_MAJOR = 102 };

/* clang-format off */
const struct cdm_routine cdm_blas_table[CDM_BLAS_COUNT] = {
#define CDM_ROUTINE(name, type, shape, doors) [CDM_BLAS_##name] = { #name, CDM_##type },
#include "shim/blas.def"
};
/* clang-format on */

/* The letter that a number stands for where one of a kind is due: order, transpose, upper or lower, diagonal, side; else 0.
 * 114, conjugate but not transpose, is omatcopy's alone, and no legal letter elsewhere. */
static char letter_of(uint32_t e, char kind)
{
	static const struct {
		char kind, letters[5];
		uint8_t first;
	} kinds[] = {{'o', "RC", 101}, {'t', "NTCR", 111}, {'u', "UL", 121}, {'d', "NU", 131}, {'s', "LR", 141}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].kind == kind && e - kinds[i].first < strlen(kinds[i].letters))
			return kinds[i].letters[e - kinds[i].first];
	return 0;
}

/* The kinds of the letters of a CBLAS list. */
static const char *kinds_of(const struct cdm_shape *s)
{
	switch ((enum cdm_row_major)s->row_major) {
	case CDM_ROW_NONE:
		return "ot";
	case CDM_ROW_HOST: /* a batch, or an operation on vectors */
		return s->args[1] == 'L' ? "tt" : "u";
	case CDM_ROW_GEMM:
		return "tt";
	case CDM_ROW_GEMMT:
		return "utt";
	case CDM_ROW_SIDE:
		return "sutd";
	case CDM_ROW_RANK:
		return "ut";
	case CDM_ROW_UPLO:
		return "u";
	case CDM_ROW_GEMV:
		return "t";
	case CDM_ROW_TR:
		return "utd";
	default:
		return "";
	}
}

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool has_order(const struct cdm_shape *s)
{
	return s->row_major != CDM_ROW_NONE;
}

char cdm_gather_letter(uint32_t v, bool cblas)
{
	return cblas ? letter_of(v, 't') : upper((char)v);
}

struct reader {
	const struct cdm_frame *f;
	unsigned gp, xmm;
	bool wide;
};

static uint64_t next_word(struct reader *r)
{
	unsigned i = r->gp++;

	return i < 6 ? r->f->gp[i] : r->f->stack[i - 6];
}

static int64_t next_integer(struct reader *r)
{
	uint64_t v = next_word(r);

	return r->wide ? (int64_t)v : (int32_t)v;
}

static int64_t load_integer(const void *p, bool wide)
{
	if (wide) {
		int64_t v;
		memcpy(&v, p, sizeof(v));
		return v;
	}
	int32_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static void gather_fortran(struct cdm_gathered *g, struct reader *r)
{
	struct cdm_call *c = &g->call;

	for (int i = 0; i < c->count; i++) {
		void *p = (void *)(uintptr_t)next_word(r);
		c->arg[i] = p;
		if (c->args[i] == 'L') {
			c->letter[i] = upper(*(const char *)p);
			c->arg[i] = &c->letter[i];
		} else if (c->args[i] == 'N') {
			c->n[i] = load_integer(p, r->wide);
			c->arg[i] = &c->n[i];
		} else if (c->args[i] == 'O') {
			g->output[i] = p;
			c->n[i] = 0;
			c->arg[i] = &c->n[i];
		}
	}
}

static void *next_scalar(struct cdm_gathered *g, struct reader *r, int i)
{
	enum cdm_scalar type = cdm_blas_table[g->call.routine].type;
	bool complex = cdm_scalar_complex(type) && g->call.args[i] == 'S';

	if (complex)
		return (void *)(uintptr_t)next_word(r);
	g->value[i] = r->f->xmm[r->xmm++ & 7].d[0]; /* a float is the low half */
	return &g->value[i];
}

static void gather_cblas(struct cdm_gathered *g, struct reader *r)
{
	struct cdm_call *c = &g->call;
	const struct cdm_shape *s = &cdm_shapes[cdm_blas_shape[c->routine]];
	const char *kind = kinds_of(s);

	if (has_order(s))
		g->order = (int)next_word(r);
	for (int i = 0; i < c->count; i++) {
		if (c->args[i] == 'L') {
			c->letter[i] = letter_of((uint32_t)next_word(r), *kind++);
			c->arg[i] = &c->letter[i];
		} else if (c->args[i] == 'N') {
			c->n[i] = next_integer(r);
			c->arg[i] = &c->n[i];
		} else if (c->args[i] == 'S' || c->args[i] == 'R') {
			c->arg[i] = next_scalar(g, r, i);
		} else {
			c->arg[i] = (void *)(uintptr_t)next_word(r);
		}
	}
	if (c->returns == 'c' || c->returns == 'z')
		g->answer = (void *)(uintptr_t)next_word(r);
}

static char returns(const struct cdm_shape *s, enum cdm_scalar type)
{
	switch (s->result) {
	case 't':
		return "sdcz"[type];
	case 'r':
		return "sdsd"[type];
	default:
		return s->result;
	}
}

void cdm_gather_begin(struct cdm_gathered *g, int routine, bool wide, const void *site)
{
	const struct cdm_shape *s = &cdm_shapes[cdm_blas_shape[routine]];
	struct cdm_call *c = &g->call;

	c->routine = routine;
	c->level = s->level;
	c->returns = returns(s, cdm_blas_table[routine].type);
	c->args = s->args;
	c->count = (uint8_t)strlen(s->args);
	c->letters = 0;
	for (int i = 0; i < c->count; i++)
		c->letters += s->args[i] == 'L';
	c->wide = wide;
	c->site = site;
	g->answer = NULL;
	g->order = 0;
	g->illegal_order = false;
}

void cdm_gather(struct cdm_gathered *g, const struct cdm_frame *f)
{
	const struct cdm_slot *slot = f->slot;
	const struct cdm_shape *s = &cdm_shapes[cdm_blas_shape[slot->routine]];
	struct reader r = {.f = f, .wide = slot->flags & CDM_SLOT_WIDE};

	cdm_gather_begin(g, slot->routine, r.wide, f->site);
	if (slot->flags & CDM_SLOT_CBLAS)
		gather_cblas(g, &r);
	else
		gather_fortran(g, &r);
	g->illegal_order =
		has_order(s) && slot->flags & CDM_SLOT_CBLAS && g->order != ROW_MAJOR && g->order != COL_MAJOR;
}

enum cdm_verdict cdm_gather_finish(struct cdm_gathered *g)
{
	enum cdm_verdict v = CDM_VERDICT_RUN;

	if (g->order == ROW_MAJOR)
		v = cdm_shape_transpose(&g->call, g->scratch);
	else if (g->illegal_order)
		return CDM_VERDICT_INVALID;
	return v == CDM_VERDICT_RUN ? cdm_shape_fill(&g->call) : v;
}

static void store_integer(void *p, int64_t v, bool wide)
{
	int32_t narrow = (int32_t)v;

	memcpy(p, wide ? (void *)&v : (void *)&narrow, wide ? sizeof(v) : sizeof(narrow));
}

/* CBLAS counts from 0, and its result is a size: 0 for an empty vector. */
static int64_t index_of(const struct cdm_gathered *g, const struct cdm_frame *f)
{
	int64_t i = g->call.result.i;

	return f->slot->flags & CDM_SLOT_CBLAS ? (i > 0 ? i - 1 : 0) : i;
}

void cdm_gather_return(const struct cdm_gathered *g, struct cdm_frame *f)
{
	const struct cdm_call *c = &g->call;

	f->returns = g->answer ? 'v' : c->returns;

	for (const char *o = strchr(c->args, 'O'); o; o = strchr(o + 1, 'O'))
		store_integer(g->output[o - c->args], c->n[o - c->args], c->wide);
	if (g->answer)
		memcpy(g->answer, &c->result, c->returns == 'c' ? 8 : 16);
	switch (c->returns) {
	case 's':
		f->xmm[0].s[0] = c->result.s;
		break;
	case 'd':
		f->xmm[0].d[0] = c->result.d;
		break;
	case 'c': /* both parts in one register */
		memcpy(&f->xmm[0], c->result.c, sizeof(c->result.c));
		break;
	case 'z': /* the parts in two */
		f->xmm[0].d[0] = c->result.z[0];
		f->xmm[1].d[0] = c->result.z[1];
		break;
	case 'i':
		f->result = (uint64_t)index_of(g, f);
		break;
	default:
		break;
	}
}

/* Where struct cdm_regs holds the list's i-th argument, which is no scalar by value. */
static uint8_t word_of(const struct cdm_slot *slot, const struct cdm_shape *s, int i)
{
	bool complex = cdm_scalar_complex(cdm_blas_table[slot->routine].type);
	uint8_t word = 0;

	if (slot->flags & CDM_SLOT_CBLAS) {
		word = has_order(s);
		for (int j = 0; j < i; j++)
			word += s->args[j] != 'R' && (s->args[j] != 'S' || complex);
	} else {
		word = (uint8_t)i;
	}
	return word < 6 ? word : (uint8_t)(word - 6 + offsetof(struct cdm_regs, stack) / sizeof(uint64_t));
}

static uint8_t cblas_words(const struct cdm_slot *slot, const struct cdm_shape *s)
{
	bool complex = cdm_scalar_complex(cdm_blas_table[slot->routine].type);
	int words = has_order(s) + (complex && s->result == 't') - 6;

	for (const char *a = s->args; *a; a++)
		words += *a != 'R' && (*a != 'S' || complex);
	return words > 0 ? (uint8_t)words : 0;
}

void cdm_gather_dims(struct cdm_slot *slot)
{
	const struct cdm_shape *s = &cdm_shapes[cdm_blas_shape[slot->routine]];

	slot->level = s->level;
	slot->coef = s->coef;
	if (s->coef != CDM_COEF_LOOK && cdm_scalar_complex(cdm_blas_table[slot->routine].type))
		slot->coef = (uint16_t)(4 * s->coef);
	int words = (int)strlen(s->args) - 6;
	for (const char *l = strchr(s->args, 'L'); l && *l == 'L'; l++)
		words++; /* letters come together, and a length for each at the end */
	slot->depth = words > 0 ? (uint8_t)(8 * words) : 0;
	slot->words = slot->flags & CDM_SLOT_CBLAS ? cblas_words(slot, s) : slot->depth / 8;
	slot->dims = 0;
	for (int i = 0; i < 3 && s->dim[i] != CDM_DIM_ONE; i++) {
		slot->dim[i] = s->dim[i] == CDM_DIM_MAX ? CDM_DIM_MAX : word_of(slot, s, s->dim[i]);
		slot->dims++;
	}
}
