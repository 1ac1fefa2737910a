/* One call for all routines: every argument is an address, and the lengths of letters follow the list.
 *
 * The caller removes arguments from the stack (System V AMD64 ABI 3.2.3; AAPCS64 alike), so a function that has fewer of
 * them does not see the rest. Integers are handed over as addresses of 64-bit ones: on a little-endian machine a
 * function that reads 32 bits finds their lower half.
 */
#include "offload/dev/fortran_call.h"

#include <complex.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "offload/base/sys.h"

#define MOST_WORDS 32
#define FEW_WORDS 16 /* gemm's, trsm's, ...: half of the stores, for routines that return nothing */
#define P8 void *, void *, void *, void *, void *, void *, void *, void *
#define A8(i) a[i], a[i + 1], a[i + 2], a[i + 3], a[i + 4], a[i + 5], a[i + 6], a[i + 7]

static void call_words(void *fn, struct cdm_call *c, void **a, int words, bool wide)
{
	float complex fc;
	double complex dc;

	switch (c->returns) {
	case 's':
		c->result.s = ((float (*)(P8, P8, P8, P8))fn)(A8(0), A8(8), A8(16), A8(24));
		break;
	case 'd':
		c->result.d = ((double (*)(P8, P8, P8, P8))fn)(A8(0), A8(8), A8(16), A8(24));
		break;
	case 'c':
		fc = ((float complex (*)(P8, P8, P8, P8))fn)(A8(0), A8(8), A8(16), A8(24));
		memcpy(c->result.c, &fc, sizeof(fc));
		break;
	case 'z':
		dc = ((double complex (*)(P8, P8, P8, P8))fn)(A8(0), A8(8), A8(16), A8(24));
		memcpy(c->result.z, &dc, sizeof(dc));
		break;
	case 'i':
		c->result.i = ((int64_t(*)(P8, P8, P8, P8))fn)(A8(0), A8(8), A8(16), A8(24));
		if (!wide)
			c->result.i = (int32_t)c->result.i;
		break;
	default:
		if (words == FEW_WORDS)
			((void (*)(P8, P8))fn)(A8(0), A8(8));
		else
			((void (*)(P8, P8, P8, P8))fn)(A8(0), A8(8), A8(16), A8(24));
	}
}

/* ---- arrays of integers of the other width ---------------------------------------------------------- */

static int64_t load(const void *p, int64_t i, bool wide)
{
	return wide ? ((const int64_t *)p)[i] : ((const int32_t *)p)[i];
}

static void store(void *p, int64_t i, bool wide, int64_t v)
{
	if (wide)
		((int64_t *)p)[i] = v;
	else
		((int32_t *)p)[i] = (int32_t)v;
}

static size_t converted_bytes(const struct cdm_call *c)
{
	size_t n = 0;

	for (int i = 0; i < c->operands; i++)
		if (c->op[i].integers)
			n += (size_t)c->op[i].rows * sizeof(int64_t);
	return cdm_round_up(n, CDM_PAGE);
}

/* Gives the words of integer arrays memory of the other width, with the contents that are read. */
static void convert_in(const struct cdm_call *c, void **a, char *memory)
{
	for (int i = 0; i < c->operands; i++) {
		const struct cdm_operand *o = &c->op[i];
		if (!o->integers)
			continue;
		a[o->arg] = memory;
		memory += (size_t)o->rows * sizeof(int64_t);
		for (int64_t k = 0; o->access & CDM_R && k < o->rows; k++)
			store(a[o->arg], k, !c->wide, load(o->base, k, c->wide));
	}
}

static void convert_out(const struct cdm_call *c, void *const *a)
{
	for (int i = 0; i < c->operands; i++) {
		const struct cdm_operand *o = &c->op[i];
		for (int64_t k = 0; o->integers && !o->scratch && o->access & CDM_W && k < o->rows; k++)
			store(o->base, k, c->wide, load(a[o->arg], k, !c->wide));
	}
}

/* ---- the call --------------------------------------------------------------------------------------- */

static bool fits(const struct cdm_call *c)
{
	for (int i = 0; i < c->count; i++)
		if (c->args[i] == 'N' && (c->n[i] > INT_MAX || c->n[i] < INT_MIN))
			return false;
	return true;
}

int cdm_fortran_call(void *fn, struct cdm_call *c, bool wide)
{
	void *a[MOST_WORDS];
	int used = c->count + c->letters, words = c->returns == 'v' && used <= FEW_WORDS ? FEW_WORDS : MOST_WORDS;
	size_t bytes = 0;
	char *memory = NULL;

	_Static_assert(CDM_MAX_ARGS + 4 <= MOST_WORDS, "no list has more than four letters");
	if (!wide && !fits(c))
		return -EOVERFLOW;
	for (int i = 0; i < c->count; i++)
		a[i] = c->arg[i];
	for (int i = 0; i < c->letters; i++)
		a[c->count + i] = (void *)(uintptr_t)1;
	for (int i = used; i < words; i++)
		a[i] = NULL;
	if (wide != c->wide && (bytes = converted_bytes(c))) {
		memory = cdm_sys_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (cdm_sys_failed(memory))
			return -ENOMEM;
		convert_in(c, a, memory);
	}
	call_words(fn, c, a, words, wide);
	if (memory) {
		convert_out(c, a);
		cdm_sys_munmap(memory, bytes);
	}
	for (int i = 0; i < c->count; i++)
		if (c->args[i] == 'O' && !wide)
			*(int64_t *)c->arg[i] = (int32_t) * (int64_t *)c->arg[i];
	return 0;
}

void cdm_call_invoke(void *fn, struct cdm_call *call)
{
	(void)cdm_fortran_call(fn, call, call->wide);
}
