/* An engine of the test's own. It computes with netlib's Fortran routine, on fresh memory that holds of each operand what
 * struct cdm_call says that the call reads, and poison elsewhere; back go the elements that the call writes. So an
 * extent, an access, a triangle, a transposition or an argument in the wrong place shows in the program's memory.
 *
 * CDM_TEST_NETLIB_BLAS, CDM_TEST_NETLIB_LAPACK and CDM_TEST_OPENBLAS (what netlib lacks) name libraries that are not in
 * Debian's place; CDM_TEST_SEED repeats a run.
 */
#ifndef CDM_TESTS_BLAS_ENGINE_H
#define CDM_TESTS_BLAS_ENGINE_H

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <link.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "offload/base/log.h"
#include "offload/base/stats.h"
#include "offload/dev/fortran_call.h"
#include "shim/hook.h"
#include "tests/unit/blas_memory.h"

/* ---- libraries -------------------------------------------------------------------------------------- */

static void *blas, *lapack, *openblas;

static void *library_symbol(const char *format, int routine)
{
	char name[48];

	snprintf(name, sizeof(name), format, cdm_blas_table[routine].name);
	void *fn = blas ? dlsym(blas, name) : NULL;
	if (!fn && lapack)
		fn = dlsym(lapack, name);
	return fn || !openblas ? fn : dlsym(openblas, name);
}

/* GEMMT, which neither library has: GEMM, and one triangle of it. */
static void gemmt(int gemm, const char *uplo, const char *ta, const char *tb, const int *n, const int *k,
		  const void *alpha, const void *a, const int *lda, const void *b, const int *ldb, const void *beta,
		  char *c, const int *ldc)
{
	size_t size = cdm_scalar_size(cdm_blas_table[gemm].type), bytes = (size_t)*ldc * (size_t)*n * size;
	char *full = malloc(bytes + 1);
	const void *args[] = {ta, tb, n, n, k, alpha, a, lda, b, ldb, beta, full, ldc};
	struct words w = {.words = 0};

	for (int j = 0; j < *n; j++)
		memcpy(full + (size_t)(j * *ldc) * size, c + (size_t)(j * *ldc) * size, (size_t)*n * size);
	for (size_t i = 0; i < sizeof(args) / sizeof(*args); i++)
		push_address(&w, args[i]);
	push(&w, 1);
	push(&w, 1);
	invoke(library_symbol("%s_", gemm), 'v', &w, NULL);
	for (int j = 0; j < *n; j++)
		for (int i = 0; i < *n; i++)
			if (*uplo == 'U' || *uplo == 'u' ? i <= j : i >= j)
				memcpy(c + (size_t)(i + j * *ldc) * size, full + (size_t)(i + j * *ldc) * size, size);
	free(full);
}
#define GEMMT(p)                                                                                                       \
	static void p##gemmt_of_test(const char *uplo, const char *ta, const char *tb, const int *n, const int *k,     \
				     const void *alpha, const void *a, const int *lda, const void *b, const int *ldb,  \
				     const void *beta, char *c, const int *ldc)                                        \
	{                                                                                                              \
		gemmt(CDM_BLAS_##p##gemm, uplo, ta, tb, n, k, alpha, a, lda, b, ldb, beta, c, ldc);                    \
	}
GEMMT(s)
GEMMT(d)
GEMMT(c)
GEMMT(z)

static void *fortran_of(int routine)
{
	void *const gemmts[] = {(void *)sgemmt_of_test, (void *)dgemmt_of_test, (void *)cgemmt_of_test,
				(void *)zgemmt_of_test};

	return has_shape(routine, "GEMMT") ? gemmts[routine - CDM_BLAS_sgemmt] : library_symbol("%s_", routine);
}

/* ---- the engine ------------------------------------------------------------------------------------- */

__thread int cdm_inside;
_Atomic uint64_t cdm_min_work[CDM_LEVELS];

static struct {
	int stays[4], offloaded, begun, ended, logged;
	bool refuse;      /* cdm_call_offload() declines */
	bool no_original; /* cdm_call_fallback() has none */
	char missing[48]; /* the last symbol that was missed */
	struct cdm_call last;
} engine;

enum { GUARD = 256 };
struct staged {
	char *memory, *before; /* before: a copy of what is not to be written */
	size_t bytes;
};

static char *element(const struct cdm_operand *o, int64_t i, int64_t j)
{
	return (char *)o->base + (i + j * o->ld) * o->elem;
}

static void copy_owned(const struct cdm_operand *to, const struct cdm_operand *from)
{
	for (int64_t j = 0; j < from->cols; j++)
		for (int64_t i = 0; i < from->rows; i++)
			if (!from->tri || (from->tri == 'U' ? i <= j : i >= j))
				memcpy(element(to, i, j), element(from, i, j), from->elem);
}

static void stage_in(struct cdm_call *d, int i, struct staged *s)
{
	struct cdm_operand *o = &d->op[i], at_home = *o;

	cr_assert(o->rows > 0 && o->cols > 0 && o->ld >= o->rows && o->elem > 0);
	s->bytes = (size_t)(o->rows * o->cols) * o->elem;
	s->memory = malloc(s->bytes + 2 * GUARD);
	memset(s->memory, 0xff, s->bytes + 2 * GUARD); /* NaN */
	o->base = s->memory + GUARD;
	o->ld = o->rows;
	if (o->access & CDM_R)
		copy_owned(o, &at_home);
	d->arg[o->arg] = o->base;
	if (o->ld_arg != CDM_NO_ARG) {
		d->n[o->ld_arg] = d->n[o->ld_arg] < 0 ? -o->ld : o->ld;
		d->arg[o->ld_arg] = &d->n[o->ld_arg];
	}
	s->before = malloc(s->bytes);
	memcpy(s->before, o->base, s->bytes);
}

static void stage_out(const struct cdm_call *call, const struct cdm_call *d, int i, struct staged *s)
{
	const struct cdm_operand *o = &call->op[i];

	for (size_t k = 0; k < GUARD; k++)
		cr_assert((s->memory[k] & s->memory[GUARD + s->bytes + k]) == -1, "%s: operand %d is larger",
			  cdm_blas_table[call->routine].name, i);
	if (!(o->access & CDM_W))
		cr_assert_eq(memcmp(s->before, s->memory + GUARD, s->bytes), 0, "%s: operand %d is written",
			     cdm_blas_table[call->routine].name, i);
	if (o->access & CDM_W && !o->scratch)
		copy_owned(o, &d->op[i]);
	free(s->before);
	free(s->memory);
}

/* Arrays that are no operand are not touched: what stands for them would show. Of rotm's parameters there are five, as of
 * scalars. */
enum { NOTHING = 1 << 16 };
static char *nothing;

static bool is_operand(const struct cdm_call *call, int arg)
{
	for (int i = 0; i < call->operands; i++)
		if (call->op[i].arg == arg)
			return true;
	return has_shape(call->routine, "ROTM") && arg == 5;
}

static void run_staged(struct cdm_call *call)
{
	struct cdm_call d = *call;
	struct staged s[CDM_MAX_OPERANDS];

	for (int i = 0; i < d.operands; i++)
		stage_in(&d, i, &s[i]);
	for (int i = 0; i < d.count; i++)
		if (strchr("MI", d.args[i]) && !is_operand(call, i))
			d.arg[i] = nothing;
	cr_assert_eq(cdm_fortran_call(fortran_of(call->routine), &d, false), 0);
	for (int i = 0; i < d.operands; i++)
		stage_out(call, &d, i, &s[i]);
	call->result = d.result;
}

/* One operand is a triangle, and the right one, where the list has such a letter for a matrix that is not packed. */
static void expect_triangle(const struct cdm_call *call)
{
	static const char shapes[] =
		"GEMMT SYMM SYRK HERK SYR2K HER2K TRMM TRMV SYMV HEMV SYR SYR2 HER HER2 POTRF POTRS "
		"POSV TRTRI TRTRS";
	const char *uplo = strchr(rows[call->routine].list, 'u');
	char tri = 0;

	for (int i = 0; i < call->operands; i++) {
		cr_assert(!tri || !call->op[i].tri);
		tri |= call->op[i].tri;
	}
	if (!has_shape(call->routine, shapes))
		cr_assert_eq(tri, 0, "%s", cdm_blas_table[call->routine].name);
	else
		cr_assert_eq(tri, call->letter[uplo - rows[call->routine].list], "%s",
			     cdm_blas_table[call->routine].name);
}

bool cdm_call_offload(struct cdm_call *call)
{
	cr_assert_eq(cdm_inside, 1);
	cr_assert(call->flops > 0 && isfinite(call->flops) && call->level < CDM_LEVELS);
	cr_assert(call->operands > 0 && call->operands <= CDM_MAX_OPERANDS);
	cr_assert_lt((uintptr_t)call->site - (uintptr_t)invoke, 65536);
	expect_triangle(call);
	engine.last = *call;
	if (engine.refuse)
		return false;
	engine.offloaded++;
	run_staged(call);
	return true;
}
void cdm_call_stays(int routine, enum cdm_stay why)
{
	(void)routine;
	engine.stays[why]++;
}
uint64_t cdm_call_host_begin(void)
{
	return (uint64_t)++engine.begun;
}
void cdm_call_host_end(int routine, uint64_t begun)
{
	cr_assert_eq(begun, (uint64_t)engine.begun);
	cr_assert_eq(routine, engine.last.routine);
	engine.ended++;
}
/* Small calls are neither computed at once nor forwarded here: prog/quick compares those. */
_Atomic uint64_t cdm_quick_limit;
_Atomic uint64_t cdm_forward_ask;
struct cdm_forward *_Atomic cdm_forward_table;
bool cdm_forward_start(int routine, const void *site)
{
	(void)routine, (void)site;
	return false;
}
bool cdm_forward_is_same(const char *path, const char *core)
{
	(void)path, (void)core;
	return false;
}

void *cdm_call_fallback(int routine)
{
	cr_assert_gt(cdm_inside, 0);
	return engine.no_original ? NULL : fortran_of(routine);
}
void cdm_log(int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	cr_assert_eq(level, CDM_LOG_ERROR);
	cr_assert_str_eq(fmt, "symbol lookup error: undefined symbol: %s");
	snprintf(engine.missing, sizeof(engine.missing), "%s", va_arg(ap, const char *));
	va_end(ap);
	engine.logged++;
}

/* What the slots need of the rest of the shim. */
struct cdm_next cdm_next = {.dlsym = dlsym, .dlopen = dlopen, .dlclose = dlclose};
void *cdm_patch_original(void *fn);
void *cdm_patch_original(void *fn)
{
	return fn;
}

static int seen_at_a_glance(int routine)
{
	uint64_t sum = 0;

	for (int i = 0; i < CDM_CALLERS; i++)
		sum += cdm_counted(&cdm_stats.caller[i].n[0][routine]);
	return (int)sum;
}

/* ---- illegal arguments leave by longjmp ------------------------------------------------------------- */

static struct {
	jmp_buf back;
	bool armed;
	char name[32];
	int number, calls;
} caught;

static void leave(const char *name, size_t len, int number)
{
	while (len && name[len - 1] == ' ')
		len--;
	cr_assert(caught.armed && len < sizeof(caught.name), "%.*s: argument %d is illegal", (int)len, name, number);
	snprintf(caught.name, sizeof(caught.name), "%.*s", (int)len, name);
	caught.number = number;
	caught.calls++;
	longjmp(caught.back, 1);
}
static void xerbla_of_test(const char *name, const int *number, size_t len)
{
	leave(name, len, *number);
}
static void cblas_xerbla_of_test(int number, const char *name, const char *format, ...)
{
	(void)format;
	leave(name, strlen(name), number);
}

/* Makes a library's calls of a function go to another one. */
static void divert(void *handle, const char *name, void *to)
{
	const ElfW(Rela) *rela = NULL;
	const ElfW(Sym) *sym = NULL;
	const char *text = NULL;
	size_t bytes = 0;
	struct link_map *map;

	cr_assert_eq(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
	for (const ElfW(Dyn) *d = map->l_ld; d->d_tag; d++)
		if (d->d_tag == DT_JMPREL)
			rela = (const void *)d->d_un.d_ptr;
		else if (d->d_tag == DT_PLTRELSZ)
			bytes = d->d_un.d_val;
		else if (d->d_tag == DT_SYMTAB)
			sym = (const void *)d->d_un.d_ptr;
		else if (d->d_tag == DT_STRTAB)
			text = (const void *)d->d_un.d_ptr;
	for (size_t i = 0; i < bytes / sizeof(*rela); i++) {
		void **word = (void **)(map->l_addr + rela[i].r_offset);
		if (strcmp(text + sym[ELF64_R_SYM(rela[i].r_info)].st_name, name))
			continue;
		mprotect((void *)((uintptr_t)word & ~4095ul), 4096, PROT_READ | PROT_WRITE);
		*word = to;
	}
}

static void *open_library(const char *variable, const char *path, int scope)
{
	void *handle = dlopen(getenv(variable) ? getenv(variable) : path, RTLD_NOW | scope);

	if (!handle)
		return NULL;
	divert(handle, "xerbla_", (void *)xerbla_of_test);
	divert(handle, "cblas_xerbla", (void *)cblas_xerbla_of_test);
	return handle;
}

#define LIBRARIES "/usr/lib/x86_64-linux-gnu/"

/* In this order: what both define is netlib's for everybody. */
static void open_libraries(int scope)
{
	const char *chosen = getenv("CDM_TEST_SEED");

	setenv("OPENBLAS_NUM_THREADS", "1", 1);
	blas = open_library("CDM_TEST_NETLIB_BLAS", LIBRARIES "blas/libblas.so.3", scope);
	if (!blas)
		cr_skip_test("no netlib BLAS: %s", dlerror());
	lapack = open_library("CDM_TEST_NETLIB_LAPACK", LIBRARIES "lapack/liblapack.so.3", scope);
	openblas = open_library("CDM_TEST_OPENBLAS", LIBRARIES "openblas-pthread/libopenblas.so.0", scope);
	seed = chosen ? (unsigned)strtoul(chosen, NULL, 0) : (unsigned)getpid() * 2654435761u;
	fprintf(stderr, "CDM_TEST_SEED=%u\n", seed);
	cdm_caller_draw(); /* without a number a thread is never given the quick look */
	nothing = malloc(NOTHING);
	memset(nothing, 0xff, NOTHING);
}

static void engine_end(void)
{
	for (int i = 0; nothing && i < NOTHING; i++)
		cr_assert_eq(nothing[i], -1);
	free(nothing);
	cr_assert_eq(cdm_inside, 0);
	cr_assert_eq(engine.begun, engine.ended);
}

#endif
