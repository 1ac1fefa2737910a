/* The entry points against netlib BLAS: an engine of this file's own captures the normalised call and computes it by
 * definition (blas_model.c); the result must be what netlib computes from the same arguments.
 *
 * CDM_TEST_NETLIB names netlib's libblas.so.3 where it is not in Debian's place; CDM_TEST_SEED repeats a run.
 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "offload/base/log.h"
#include "shim/blas.h"
#include "tests/unit/blas_call.h"
#include "tests/unit/blas_model.h"

/* ---- the engine ------------------------------------------------------------------------------------- */

__thread int cdm_inside;
_Atomic double cdm_min_work;

static struct {
	int stays[3], offloaded, begun, ended, logged;
	bool refuse;    /* cdm_call_offload() declines */
	void *original; /* what cdm_call_fallback() gives, NULL: netlib's */
	bool no_original;
	struct cdm_call last;
} engine;

static void *netlib;

static void *netlib_entry(const char *prefix, int routine, const char *suffix)
{
	char name[32];

	snprintf(name, sizeof name, "%s%s%s", prefix, cdm_blas_table[routine].name, suffix);
	return dlsym(netlib, name);
}

void cdm_engine_routines(const struct cdm_routine *table, int count)
{
	cr_assert_eq(table, cdm_blas_table);
	cr_assert_eq(count, CDM_BLAS_COUNT);
}
void cdm_call_stays(int routine, enum cdm_stay why)
{
	(void)routine;
	engine.stays[why]++;
}
bool cdm_call_offload(const struct cdm_call *call)
{
	cr_assert_eq(cdm_inside, 1);
	engine.last = *call;
	if (engine.refuse)
		return false;
	engine.offloaded++;
	model_run(call, &cdm_blas_table[call->routine]);
	return true;
}
uint64_t cdm_call_host_begin(void)
{
	return (uint64_t)++engine.begun;
}
void cdm_call_host_end(const struct cdm_call *call, uint64_t begun)
{
	cr_assert_eq(begun, (uint64_t)engine.begun);
	cr_assert_eq(call->routine, engine.last.routine);
	engine.ended++;
}
void *cdm_call_fallback(int routine)
{
	if (engine.no_original)
		return NULL;
	return engine.original ? engine.original : netlib_entry("", routine, "_");
}
void cdm_log(int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	cr_assert_eq(level, CDM_LOG_ERROR);
	cr_assert_str_eq(fmt, "symbol lookup error: undefined symbol: %s");
	cr_assert_str_eq(va_arg(ap, const char *), engine.last.routine < 0 ? "cblas_dgemm" : "dgemm_");
	va_end(ap);
	engine.logged++;
}

/* ---- random calls ----------------------------------------------------------------------------------- */

static unsigned seed;

static int below(int n)
{
	return (int)((unsigned)rand_r(&seed) % (unsigned)n);
}
static char pick(const char *set)
{
	return *set ? set[below((int)strlen(set))] : 0;
}
static double unit(void)
{
	return below(2001) / 1000.0 - 1;
}

#define ELEMENTS 256 /* of each matrix, more than any call reaches */
#define SIZE_MAX_ 7

struct test_case {
	int routine;
	enum convention how;
	struct raw r;
	double alpha[2], beta[2]; /* room for any type */
	bool beta_zero;
	double a[2 * ELEMENTS], b[2 * ELEMENTS], c[2 * ELEMENTS];
};

static bool is_single(int routine)
{
	return cdm_blas_table[routine].type == CDM_S || cdm_blas_table[routine].type == CDM_C;
}

static void put(void *base, int routine, int index, double v)
{
	if (is_single(routine))
		((float *)base)[index] = (float)v;
	else
		((double *)base)[index] = v;
}

static double get(const void *base, int routine, int index)
{
	return is_single(routine) ? (double)((const float *)base)[index] : ((const double *)base)[index];
}

static void fill(void *base, int routine, bool poison)
{
	for (int i = 0; i < 2 * ELEMENTS; i++)
		put(base, routine, i, poison ? (double)NAN : unit());
}

static void choose_scalar(double *s, int routine, bool *zero)
{
	int kind = below(4);

	put(s, routine, 0, kind == 0 ? 0 : kind == 1 ? 1 : unit());
	put(s, routine, 1, kind < 2 ? 0 : unit());
	if (zero)
		*zero = kind == 0;
}

/* A diagonal that makes a triangle safe to solve with: its other elements are small against it. */
static void condition(struct test_case *t, int elem_reals)
{
	for (int i = 0; i < 2 * ELEMENTS; i++)
		put(t->a, t->routine, i, get(t->a, t->routine, i) * 0.2);
	for (int i = 0; i < SIZE_MAX_; i++)
		put(t->a, t->routine, (i + i * t->r.lda) * elem_reals, 1.5 + 0.5 * unit());
}

static void choose_ld(struct test_case *t)
{
	struct raw *r = &t->r;
	enum cdm_family f = cdm_blas_table[t->routine].family;
	bool row = t->how == CBLAS_ROW, gemm = f == CDM_GEMM || f == CDM_GEMMT;
	bool sided = f == CDM_SYMM || f == CDM_HEMM || f == CDM_TRMM || f == CDM_TRSM;
	int m = f == CDM_GEMM || sided ? r->m : r->n, k = r->k, n = r->n;
	/* rows and columns as the caller sees them */
	int a_rows = r->transa == 'N' ? m : k, a_cols = r->transa == 'N' ? k : m;
	int b_rows = r->transb == 'N' ? k : n, b_cols = r->transb == 'N' ? n : k;

	if (sided) {
		a_rows = a_cols = r->side == 'L' ? r->m : r->n;
		b_rows = r->m, b_cols = r->n;
	} else if (!gemm) {
		b_rows = a_rows, b_cols = a_cols;
	}
	r->lda = (row ? a_cols : a_rows) + below(4);
	r->ldb = (row ? b_cols : b_rows) + below(4);
	r->ldc = (row ? n : m) + below(4);
	r->lda += r->lda == 0, r->ldb += r->ldb == 0, r->ldc += r->ldc == 0;
}

static void make(struct test_case *t, int routine, enum convention how)
{
	enum cdm_family f = cdm_blas_table[routine].family;
	const char *trans = cdm_blas_traits[routine].trans;

	*t = (struct test_case){.routine = routine, .how = how};
	t->r = (struct raw){pick("LR"),
			    pick("UL"),
			    pick(trans),
			    pick(trans),
			    pick("UN"),
			    below(SIZE_MAX_ + 1),
			    below(SIZE_MAX_ + 1),
			    below(SIZE_MAX_ + 1),
			    0,
			    0,
			    0,
			    t->alpha,
			    t->beta,
			    t->a,
			    t->b,
			    t->c};
	choose_ld(t);
	choose_scalar(t->alpha, routine, NULL);
	choose_scalar(t->beta, routine, &t->beta_zero);
	fill(t->a, routine, false);
	fill(t->b, routine, false);
	fill(t->c, routine, t->beta_zero);
	if (f == CDM_TRSM)
		condition(t, cdm_blas_table[routine].type >= CDM_C ? 2 : 1);
}

static struct raw at(const struct test_case *t, double *b, double *c)
{
	struct raw r = t->r;

	r.b = b;
	r.c = c;
	return r;
}

/* GEMMT is missing in netlib: GEMM, and then one triangle of it. */
static void reference_gemmt(const struct test_case *t, const struct raw *r)
{
	int gemm = t->routine - CDM_BLAS_sgemmt + CDM_BLAS_sgemm;
	int size = (int)cdm_scalar_size(cdm_blas_table[gemm].type);
	double full[2 * ELEMENTS];
	struct raw all = *r;

	memcpy(full, r->c, sizeof full);
	all.c = full;
	all.m = r->n;
	if (t->how == FORTRAN)
		callers[gemm].fortran(netlib_entry("", gemm, "_"), &all);
	else
		callers[gemm].cblas(netlib_entry("cblas_", gemm, ""), (int)t->how, &all);
	for (int i = 0; i < r->n; i++)
		for (int j = 0; j < r->n; j++) {
			int index = (t->how == CBLAS_ROW ? i * r->ldc + j : i + j * r->ldc) * size;

			if (r->uplo == 'U' ? i <= j : i >= j)
				memcpy((char *)r->c + index, (char *)full + index, (size_t)size);
		}
}

static void reference(const struct test_case *t, const struct raw *r)
{
	if (cdm_blas_table[t->routine].family == CDM_GEMMT)
		reference_gemmt(t, r);
	else if (t->how == FORTRAN)
		callers[t->routine].fortran(netlib_entry("", t->routine, "_"), r);
	else
		callers[t->routine].cblas(netlib_entry("cblas_", t->routine, ""), (int)t->how, r);
}

static void expect_same(const struct test_case *t, const void *got, const void *want, const char *which)
{
	double tolerance = is_single(t->routine) ? 3e-4 : 1e-12;
	const struct raw *r = &t->r;

	for (int i = 0; i < (is_single(t->routine) ? 4 : 2) * ELEMENTS; i++) {
		double g = get(got, t->routine, i), w = get(want, t->routine, i);

		cr_assert((isnan(g) && isnan(w)) || fabs(g - w) <= tolerance * (1 + fabs(w)),
			  "%s %d side=%c uplo=%c trans=%c%c diag=%c m=%d n=%d k=%d ld=%d,%d,%d: %s[%d] = %g, not %g",
			  cdm_blas_table[t->routine].name, t->how, r->side, r->uplo, r->transa, r->transb, r->diag,
			  r->m, r->n, r->k, r->lda, r->ldb, r->ldc, which, i, g, w);
	}
}

/* Runs one case; the number of calls that were offloaded. */
static int check(const struct test_case *t)
{
	double b[2][2 * ELEMENTS], c[2][2 * ELEMENTS], a[2 * ELEMENTS];
	int before = engine.offloaded;

	memcpy(a, t->a, sizeof a);
	for (int i = 0; i < 2; i++) {
		memcpy(b[i], t->b, sizeof b[i]);
		memcpy(c[i], t->c, sizeof c[i]);
	}
	struct raw own = at(t, b[0], c[0]), ref = at(t, b[1], c[1]);
	call_own(t->routine, t->how, &own);
	reference(t, &ref);
	expect_same(t, b[0], b[1], "B");
	expect_same(t, c[0], c[1], "C");
	cr_assert_eq(memcmp(a, t->a, sizeof a), 0);
	cr_assert_eq(cdm_inside, 0);
	return engine.offloaded - before;
}

/* ---- tests ------------------------------------------------------------------------------------------ */

#if defined __x86_64__
#define MULTIARCH "x86_64-linux-gnu"
#elif defined __aarch64__
#define MULTIARCH "aarch64-linux-gnu"
#else
#define MULTIARCH "unknown"
#endif

static void setup(void)
{
	const char *path = getenv("CDM_TEST_NETLIB"), *chosen = getenv("CDM_TEST_SEED");

	netlib = dlopen(path ? path : "/usr/lib/" MULTIARCH "/blas/libblas.so.3", RTLD_NOW | RTLD_LOCAL);
	seed = chosen ? (unsigned)strtoul(chosen, NULL, 0) : (unsigned)getpid() * 2654435761u;
	if (!netlib)
		cr_skip_test("no netlib BLAS: %s", dlerror());
	fprintf(stderr, "CDM_TEST_SEED=%u\n", seed);
}

TestSuite(blas_args, .init = setup, .timeout = 60);

/* netlib has no GEMMT to run a call that stays on the host. */
static bool needs_missing_original(const struct test_case *t)
{
	bool complex = cdm_blas_table[t->routine].type >= CDM_C;
	bool zero = get(t->alpha, t->routine, 0) == 0 && (!complex || get(t->alpha, t->routine, 1) == 0);

	return cdm_blas_table[t->routine].family == CDM_GEMMT && (t->r.n == 0 || t->r.k == 0 || zero);
}

static void sweep(enum convention how)
{
	for (int routine = 0; routine < CDM_BLAS_COUNT; routine++) {
		int offloaded = 0;

		for (int i = 0; i < 400; i++) {
			struct test_case t;

			do
				make(&t, routine, how);
			while (needs_missing_original(&t));
			offloaded += check(&t);
		}
		cr_assert_gt(offloaded, 80, "%s: %d", cdm_blas_table[routine].name, offloaded);
		cr_assert_eq(engine.stays[CDM_STAY_INVALID], 0, "%s", cdm_blas_table[routine].name);
	}
	cr_assert_gt(engine.stays[CDM_STAY_QUICK], 0);
}

Test(blas_args, fortran)
{
	sweep(FORTRAN);
}
Test(blas_args, cblas_column_major)
{
	sweep(CBLAS_COL);
}

/* The original of a CBLAS call is missing here: what is not offloaded goes through the Fortran entry point. */
Test(blas_args, cblas_row_major)
{
	sweep(CBLAS_ROW);
}

static void sweep_refused(enum convention how)
{
	engine.refuse = true;
	for (int routine = 0; routine < CDM_BLAS_COUNT; routine++)
		for (int i = 0; i < 100 && cdm_blas_table[routine].family != CDM_GEMMT; i++) {
			struct test_case t;

			make(&t, routine, how);
			check(&t);
		}
	cr_assert_gt(engine.begun, 0);
	cr_assert_eq(engine.begun, engine.ended);
}

Test(blas_args, refused_calls_run_on_the_host)
{
	sweep_refused(FORTRAN);
	sweep_refused(CBLAS_COL);
	sweep_refused(CBLAS_ROW);
}

static void leave(void)
{
	_exit(1);
}

/* Whether netlib takes the call: its xerbla prints a line, and stops the program or does not. */
static bool netlib_accepts(const struct test_case *t)
{
	int status = 0, report[2];
	char c;

	cr_assert_eq(pipe(report), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct raw r = t->r;

		dup2(report[1], 1);
		dup2(report[1], 2);
		close(report[0]);
		atexit(leave);
		callers[t->routine].fortran(netlib_entry("", t->routine, "_"), &r);
		fflush(NULL);
		_exit(42);
	}
	close(report[1]);
	bool silent = read(report[0], &c, 1) == 0;
	close(report[0]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return silent && WIFEXITED(status) && WEXITSTATUS(status) == 42;
}

static void spoil(struct raw *r)
{
	char *letters[] = {&r->side, &r->uplo, &r->transa, &r->transb, &r->diag};
	int *sizes[] = {&r->m, &r->n, &r->k, &r->lda, &r->ldb, &r->ldc};

	for (int i = 0; i < 5; i++)
		if (below(3) == 0)
			*letters[i] = (char)(*letters[i] | 0x20);
	if (below(2))
		*letters[below(5)] = pick("NTCULRXntcul? ");
	else if (below(3))
		sizes[3 + below(3)][0] -= 1 + below(3);
	else
		*sizes[below(3)] = -1 - below(2);
}

static int originals;
static void count_original(void)
{
	originals++;
}

Test(blas_args, rejects_what_netlib_rejects)
{
	int rejected = 0;

	atomic_store(&cdm_min_work, -INFINITY);
	engine.original = (void *)count_original;
	for (int routine = 0; routine < CDM_BLAS_COUNT; routine++)
		for (int i = 0; i < 25 && cdm_blas_table[routine].family != CDM_GEMMT; i++) {
			struct test_case t;
			int invalid = engine.stays[CDM_STAY_INVALID], before = originals;

			make(&t, routine, FORTRAN);
			spoil(&t.r);
			struct test_case copy = t;
			copy.r = at(&t, copy.b, copy.c);
			bool legal = netlib_accepts(&copy);
			call_own(routine, FORTRAN, &t.r);
			invalid = engine.stays[CDM_STAY_INVALID] - invalid;
			cr_assert_eq(invalid, !legal, "%s %c%c%c%c%c %d,%d,%d ld %d,%d,%d: netlib says %s",
				     cdm_blas_table[routine].name, t.r.side, t.r.uplo, t.r.transa, t.r.transb, t.r.diag,
				     t.r.m, t.r.n, t.r.k, t.r.lda, t.r.ldb, t.r.ldc, legal ? "legal" : "illegal");
			cr_assert(legal || originals == before + 1);
			rejected += !legal;
		}
	cr_assert_gt(rejected, 100);
}

/* CBLAS numbers of the wrong kind, which would be legal letters of another argument. */
Test(blas_args, cblas_numbers)
{
	struct test_case t;

	engine.original = (void *)count_original;
	do
		make(&t, CDM_BLAS_dtrmm, CBLAS_ROW);
	while (t.r.m == 0 || t.r.n == 0 || get(t.alpha, t.routine, 0) == 0);
	struct raw good = t.r;
	call_own(t.routine, t.how, &t.r);
	cr_assert_eq(engine.offloaded, 1);
	for (int i = 0; i < 4; i++) {
		char *letter[] = {&t.r.side, &t.r.uplo, &t.r.transa, &t.r.diag};

		t.r = good;
		*letter[i] = i == 1 ? (char)132 : 121; /* CblasUnit as uplo, CblasUpper elsewhere */
		call_own(t.routine, t.how, &t.r);
		cr_assert_eq(engine.stays[CDM_STAY_INVALID], i + 1);
	}
	t.r = good;
	call_own(t.routine, (enum convention)103, &t.r);
	cr_assert_eq(engine.stays[CDM_STAY_INVALID], 5);
	cr_assert_eq(engine.offloaded, 1);
}

Test(blas_args, small_and_nested_calls_go_straight_through)
{
	struct test_case t;

	make(&t, CDM_BLAS_zher2k, FORTRAN);
	t.r.n = 3, t.r.k = 2, t.r.lda = t.r.ldb = t.r.ldc = 8;
	t.r.transa = 'N';
	put(t.alpha, t.routine, 0, 1);
	engine.original = (void *)count_original;
	atomic_store(&cdm_min_work, 156.5); /* 4 (2 k n^2 + n) = 156 */
	call_own(t.routine, CBLAS_ROW, &t.r);
	call_own(t.routine, FORTRAN, &t.r);
	cr_assert_eq(engine.stays[CDM_STAY_SMALL], 2);
	cr_assert_eq(originals, 2);
	atomic_store(&cdm_min_work, 156);
	cdm_inside = 1;
	call_own(t.routine, CBLAS_ROW, &t.r);
	call_own(t.routine, FORTRAN, &t.r);
	cr_assert_eq(originals, 4);
	cdm_inside = 0;
	cr_assert_eq(engine.stays[CDM_STAY_SMALL], 2);
	engine.refuse = true;
	call_own(t.routine, FORTRAN, &t.r);
	cr_assert_eq(engine.last.flops, 156);
	cr_assert_eq(engine.begun, 1);
	cr_assert_eq(originals, 5);
}

static void nest(void)
{
	int one = 1;
	double x = 1;
	struct raw r = {'L', 'U', 'N', 'N', 'N', 1, 1, 1, one, one, one, &x, &x, &x, &x, &x};

	if (originals++ < 1)
		call_own(CDM_BLAS_dgemm, FORTRAN, &r);
}

/* CBLAS in terms of Fortran, as in netlib: one call, counted once, whether it stays or is refused. */
Test(blas_args, a_nested_call_is_not_counted)
{
	double x = 1;
	struct raw r = {'L', 'U', 'N', 'N', 'N', 1, 1, 1, 1, 1, 1, &x, &x, &x, &x, &x};

	engine.original = (void *)nest;
	atomic_store(&cdm_min_work, 1e9);
	call_own(CDM_BLAS_dgemm, CBLAS_COL, &r);
	cr_assert_eq(originals, 2);
	cr_assert_eq(engine.stays[CDM_STAY_SMALL], 1);
	call_own(CDM_BLAS_dgemm, FORTRAN, &r);
	cr_assert_eq(engine.stays[CDM_STAY_SMALL], 2);
	atomic_store(&cdm_min_work, 0);
	engine.refuse = true;
	originals = 0;
	call_own(CDM_BLAS_dgemm, CBLAS_COL, &r);
	cr_assert_eq(originals, 2);
	cr_assert_eq(engine.begun, 1);
}

/* The return address in the program, also from an entry point that jumped to its helper. */
Test(blas_args, site_is_the_caller)
{
	double x = 1;
	struct raw r = {'L', 'U', 'N', 'N', 'N', 1, 1, 1, 1, 1, 1, &x, &x, &x, &x, &x};

	call_own(CDM_BLAS_dgemm, FORTRAN, &r);
	cr_assert_lt((uintptr_t)engine.last.site - (uintptr_t)fortran_dgemm, 1024);
	call_own(CDM_BLAS_dgemm, CBLAS_ROW, &r);
	cr_assert_lt((uintptr_t)engine.last.site - (uintptr_t)cblas_call_dgemm, 1024);
}

Test(blas_args, no_original_at_all)
{
	double x = 2;
	struct raw r = {'L', 'U', 'N', 'N', 'N', 1, 1, 1, 1, 1, 1, &x, &x, &x, &x, &x};

	engine.no_original = true;
	engine.refuse = true;
	for (int i = 0; i < 2; i++)
		call_own(CDM_BLAS_dgemm, FORTRAN, &r);
	cr_assert_eq(engine.logged, 1);
	engine.last.routine = -1;
	atomic_store(&cdm_min_work, INFINITY);
	for (int i = 0; i < 2; i++)
		call_own(CDM_BLAS_dgemm, CBLAS_ROW, &r);
	cr_assert_eq(engine.logged, 2);
	cr_assert_eq(x, 2);
}

Test(blas_args, table)
{
	cdm_blas_register();
	cr_assert_eq(cdm_blas_table[CDM_BLAS_COUNT].name, NULL);
	cr_assert_str_eq(cdm_blas_table[0].name, "sgemm");
	cr_assert_str_eq(cdm_blas_table[CDM_BLAS_zher2k].name, "zher2k");
	cr_assert_str_eq(cdm_blas_fortran[CDM_BLAS_ctrsm].symbol, "ctrsm_");
	cr_assert_str_eq(cdm_blas_cblas[CDM_BLAS_ctrsm].symbol, "cblas_ctrsm");
	cr_assert_eq(cdm_work_gemm(false, 2, 3, 5), 60);
	cr_assert_eq(cdm_work_symm(true, 2, 3, 0), 24);
	cr_assert_eq(cdm_work_symm(false, 2, 3, 0), 36);
	cr_assert_eq(cdm_work_syrk(false, 0, 3, 5), 60);
	cr_assert_eq(cdm_work_trsm(true, 2, 3, 0), 12);
}
