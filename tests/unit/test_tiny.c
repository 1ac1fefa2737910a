/* The kernels for tiny matrices against plain loops in long double: all types, options and sizes, random leading dimensions,
 * operands against unmapped pages on either side, bytes outside of them watched. CDM_TEST_SEED repeats a run. */
#include <criterion/criterion.h>
#include <complex.h>
#include <dlfcn.h>
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "offload/tiny/tiny.h"

typedef long double _Complex num;

static const char types[] = "sdcz";
static const size_t sizes[] = {4, 8, 8, 16};
static const double epsilon[] = {FLT_EPSILON, DBL_EPSILON, FLT_EPSILON, DBL_EPSILON};
#define IS_COMPLEX(type) ((type) >= CDM_TINY_C)

/* ---- random numbers ---- */

static uint64_t seed;

static uint32_t below(uint32_t limit)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % limit;
}

static int size(void)
{
	return 1 + (int)below(CDM_TINY_MAX);
}
static double uniform(void)
{
	return (double)below(1u << 30) / (1 << 29) - 1;
}
static num number(int type)
{
	return (num)uniform() + (IS_COMPLEX(type) ? uniform() * I : 0);
}

static void start(void)
{
	const char *given = getenv("CDM_TEST_SEED");

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	printf("CDM_TEST_SEED=%llu\n", (unsigned long long)seed);
	if (!cdm_tiny_usable())
		cr_skip_test("this CPU lacks AVX2 or FMA");
}

TestSuite(tiny, .init = start, .timeout = 170);

/* ---- operands between unmapped pages ---- */

#define SPACE ((size_t)128 << 10)
#define GUARD ((size_t)4096)

struct matrix {
	int type, m, n;
	ptrdiff_t ld;
	char *space, *copy; /* SPACE bytes between two guards, and what they held before the call */
	char *p;
	num *was; /* m x n, no gaps */
};

static void map_space(struct matrix *x)
{
	if (x->space)
		return;
	x->space = mmap(NULL, SPACE + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(x->space, MAP_FAILED);
	x->space += GUARD;
	cr_assert_eq(mprotect(x->space, SPACE, PROT_READ | PROT_WRITE), 0);
	x->copy = malloc(SPACE);
	x->was = malloc(sizeof(num) * CDM_TINY_MAX * CDM_TINY_MAX * 4);
}

static void *element(const struct matrix *x, int i, int j)
{
	return x->p + (size_t)(i + j * x->ld) * sizes[x->type];
}

static num read_number(int type, const void *p)
{
	switch (type) {
	case CDM_TINY_S:
		return *(const float *)p;
	case CDM_TINY_D:
		return *(const double *)p;
	case CDM_TINY_C:
		return __builtin_complex((long double)((const float *)p)[0], (long double)((const float *)p)[1]);
	default:
		return __builtin_complex((long double)((const double *)p)[0], (long double)((const double *)p)[1]);
	}
}

static void write_number(int type, void *p, num x)
{
	switch (type) {
	case CDM_TINY_S:
		*(float *)p = (float)creall(x);
		break;
	case CDM_TINY_D:
		*(double *)p = (double)creall(x);
		break;
	case CDM_TINY_C:
		((float *)p)[0] = (float)creall(x), ((float *)p)[1] = (float)cimagl(x);
		break;
	default:
		((double *)p)[0] = (double)creall(x), ((double *)p)[1] = (double)cimagl(x);
	}
}

static num at(const struct matrix *x, int i, int j)
{
	return read_number(x->type, element(x, i, j));
}
static num was(const struct matrix *x, int i, int j)
{
	return x->was[i + j * x->m];
}
static void put(struct matrix *x, int i, int j, num v)
{
	write_number(x->type, element(x, i, j), v);
}

/* An m x n matrix of random numbers; all bytes around its elements are ones, which read as NaN. */
static void make_ld(struct matrix *x, int type, int m, int n, ptrdiff_t ld)
{
	size_t bytes;

	map_space(x);
	x->type = type, x->m = m, x->n = n, x->ld = ld;
	bytes = (size_t)((n - 1) * ld + m) * sizes[type];
	cr_assert_leq(bytes, SPACE);
	memset(x->space, 0xff, SPACE);
	x->p = below(2) ? x->space : x->space + SPACE - bytes;
	for (int j = 0; j < n; j++)
		for (int i = 0; i < m; i++)
			put(x, i, j, number(type));
}

static void make(struct matrix *x, int type, int m, int n)
{
	make_ld(x, type, m, n, m + (below(2) ? below(9) : 0));
}

/* What the stack held before must not matter: signalling NaNs would raise FE_INVALID. */
static __attribute__((noinline)) void dirty_stack(int type)
{
	volatile uint64_t junk[6000];

	for (size_t i = 0; i < sizeof(junk) / sizeof(*junk); i++)
		junk[i] = sizes[type] == 4 || type == CDM_TINY_C ? 0x7fa000007fa00000 : 0x7ff4000000000000;
}

/* Remembers all matrices as they are before the call. */
static void before(int count, struct matrix **all)
{
	for (int i = 0; i < count; i++) {
		struct matrix *x = all[i];

		memcpy(x->copy, x->space, SPACE);
		for (int c = 0; c < x->n; c++)
			for (int r = 0; r < x->m; r++)
				x->was[r + c * x->m] = at(x, r, c);
	}
	dirty_stack(all[0]->type);
	feclearexcept(FE_ALL_EXCEPT);
}

static void no_exceptions(const char *what)
{
	cr_assert_eq(fetestexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW), 0, "%s raises floating-point exceptions",
		     what);
}

/* Nothing has changed but the elements that the call may write: all, none, or a triangle. */
static void untouched(const struct matrix *x, char writes, const char *what)
{
	char *now = malloc(SPACE);

	memcpy(now, x->space, SPACE);
	for (int j = 0; j < x->n; j++)
		for (int i = 0; i < x->m; i++)
			if (writes == 'A' || (writes == 'L' && i >= j) || (writes == 'U' && i <= j)) {
				size_t o = (size_t)((char *)element(x, i, j) - x->space);

				memcpy(now + o, x->copy + o, sizes[x->type]);
			}
	cr_assert_eq(memcmp(now, x->copy, SPACE), 0, "%s writes where it must not", what);
	free(now);
}

/* Within `units` rounding errors of what was added up, whose absolute values sum up to `mass`. */
static void expect_near(int type, num got, num want, long double mass, double units, const char *what)
{
	long double error = cabsl(got - want), bound = units * (IS_COMPLEX(type) ? 4 : 1) * epsilon[type] * mass;

	if (!(error <= bound))
		cr_assert_fail("%s: %Lg%+Lgi, expected %Lg%+Lgi: off by %Lg, allowed %Lg", what, creall(got),
			       cimagl(got), creall(want), cimagl(want), error, bound);
}

static num op(const struct matrix *a, char trans, int i, int j)
{
	num x = trans == 'N' ? was(a, i, j) : was(a, j, i);

	return trans == 'C' ? conjl(x) : x;
}

/* 0 and 1 often. */
static num factor(int type)
{
	switch (below(4)) {
	case 0:
		return 0;
	case 1:
		return 1;
	default:
		return number(type);
	}
}

/* In the case of the letter the caller uses. */
static int letter(char c)
{
	return below(2) ? c : c | 0x20;
}

struct value {
	char bytes[16];
	num x; /* as rounded */
};

static struct value value(int type, num x)
{
	struct value v;

	write_number(type, v.bytes, x);
	v.x = read_number(type, v.bytes);
	return v;
}

/* ---- gemm ---- */

static cdm_tiny_gemm_fn *const gemm[] = {cdm_tiny_sgemm, cdm_tiny_dgemm, cdm_tiny_cgemm, cdm_tiny_zgemm};

static void check_gemm(int type, char ta, char tb, int m, int n, int k, num alpha, num beta)
{
	static struct matrix a, b, c;
	struct value al = value(type, alpha), be = value(type, beta);
	char what[80];

	snprintf(what, sizeof(what), "%cgemm %c%c %d %d %d", types[type], ta, tb, m, n, k);
	make(&a, type, ta == 'N' ? m : k, ta == 'N' ? k : m);
	make(&b, type, tb == 'N' ? k : n, tb == 'N' ? n : k);
	make(&c, type, m, n);
	if (be.x == 0)
		put(&c, (int)below((uint32_t)m), (int)below((uint32_t)n), NAN);
	if (al.x == 0)
		put(&a, 0, 0, NAN), put(&b, 0, 0, INFINITY);
	before(3, (struct matrix *[]){&a, &b, &c});
	gemm[type](letter(ta), letter(tb), m, n, k, al.bytes, a.p, a.ld, b.p, b.ld, be.bytes, c.p, c.ld);
	no_exceptions(what);
	untouched(&a, 0, what), untouched(&b, 0, what), untouched(&c, 'A', what);
	for (int j = 0; j < n; j++)
		for (int i = 0; i < m; i++) {
			num want = be.x == 0 ? 0 : be.x * was(&c, i, j);
			long double mass = cabsl(want);

			for (int l = 0; l < k && al.x != 0; l++) {
				num product = al.x * op(&a, ta, i, l) * op(&b, tb, l, j);

				want += product;
				mass += cabsl(product);
			}
			expect_near(type, at(&c, i, j), want, mass, k + 3, what);
		}
}

Test(tiny, gemm_sizes)
{
	for (int type = 0; type < 4; type++)
		for (int m = 1; m <= CDM_TINY_MAX; m++)
			for (int n = 1; n <= CDM_TINY_MAX; n += 1 + (int)below(3))
				check_gemm(type, "NTC"[below(3)], "NTC"[below(3)], m, n, size(), factor(type),
					   factor(type));
}

Test(tiny, gemm_options)
{
	for (int type = 0; type < 4; type++)
		for (int o = 0; o < 9 * 3; o++)
			for (int i = 0; i < 8; i++)
				check_gemm(type, "NTC"[o % 3], "NTC"[o / 3 % 3], 1 + (int)below(12), 1 + (int)below(12),
					   size(), o < 9 ? number(type) : 1, o < 18 ? number(type) : o & 1);
}

/* NaN and infinity reach the rows and columns that they belong to, and no others. */
Test(tiny, gemm_special)
{
	static struct matrix a, b, c;

	for (int type = 0; type < 4; type++)
		for (int round = 0; round < 100; round++) {
			int m = size(), n = size(), k = size(), row = (int)below((uint32_t)m),
			    col = (int)below((uint32_t)n);
			char ta = "NTC"[below(3)], tb = "NTC"[below(3)];
			struct value one = value(type, 1);

			make(&a, type, ta == 'N' ? m : k, ta == 'N' ? k : m);
			make(&b, type, tb == 'N' ? k : n, tb == 'N' ? n : k);
			make(&c, type, m, n);
			put(&a, ta == 'N' ? row : 0, ta == 'N' ? 0 : row, NAN);
			put(&b, tb == 'N' ? k - 1 : col, tb == 'N' ? col : k - 1, INFINITY);
			gemm[type](ta, tb, m, n, k, one.bytes, a.p, a.ld, b.p, b.ld, one.bytes, c.p, c.ld);
			for (int j = 0; j < n; j++)
				for (int i = 0; i < m; i++) {
					num x = at(&c, i, j);
					bool nan = isnan(creall(x)) || isnan(cimagl(x));

					cr_assert_eq(isfinite(creall(x)) && isfinite(cimagl(x)), i != row && j != col);
					cr_assert(i != row || nan);
				}
		}
}

/* ---- gemv ---- */

static cdm_tiny_gemv_fn *const gemv[] = {cdm_tiny_sgemv, cdm_tiny_dgemv, cdm_tiny_cgemv, cdm_tiny_zgemv};

static void check_gemv(int type, char trans, int m, int n, int incx, int incy, num alpha, num beta)
{
	static struct matrix a, x, y;
	struct value al = value(type, alpha), be = value(type, beta);
	int nx = trans == 'N' ? n : m, ny = trans == 'N' ? m : n;
	char what[80];

	snprintf(what, sizeof(what), "%cgemv %c %d %d inc %d %d", types[type], trans, m, n, incx, incy);
	make(&a, type, m, n);
	make_ld(&x, type, 1, nx, abs(incx));
	make_ld(&y, type, 1, ny, abs(incy));
	if (be.x == 0)
		put(&y, 0, (int)below((uint32_t)ny), NAN);
	if (al.x == 0)
		put(&a, 0, 0, NAN), put(&x, 0, 0, INFINITY);
	before(3, (struct matrix *[]){&a, &x, &y});
	gemv[type](letter(trans), m, n, al.bytes, a.p, a.ld, x.p, incx, be.bytes, y.p, incy);
	no_exceptions(what);
	untouched(&a, 0, what), untouched(&x, 0, what), untouched(&y, 'A', what);
	for (int i = 0; i < ny; i++) {
		int yi = incy > 0 ? i : ny - 1 - i;
		num want = be.x == 0 ? 0 : be.x * was(&y, 0, yi);
		long double mass = cabsl(want);

		for (int l = 0; l < nx && al.x != 0; l++) {
			num product = al.x * op(&a, trans, i, l) * was(&x, 0, incx > 0 ? l : nx - 1 - l);

			want += product;
			mass += cabsl(product);
		}
		expect_near(type, at(&y, 0, yi), want, mass, nx + 3, what);
	}
}

Test(tiny, gemv)
{
	for (int type = 0; type < 4; type++)
		for (int m = 1; m <= CDM_TINY_MAX; m++)
			for (int n = 1; n <= CDM_TINY_MAX; n++)
				check_gemv(type, "NTC"[below(3)], m, n, below(2) ? 1 : (int)below(2) * 5 - 3,
					   below(2) ? 1 : (int)below(2) * 7 - 4, factor(type), factor(type));
}

/* ---- syrk, herk ---- */

static cdm_tiny_rank_fn *const syrk[] = {cdm_tiny_ssyrk, cdm_tiny_dsyrk, cdm_tiny_csyrk, cdm_tiny_zsyrk};
static cdm_tiny_rank_fn *const herk[] = {NULL, NULL, cdm_tiny_cherk, cdm_tiny_zherk};

static void check_rank(int type, bool hermitian, char uplo, bool trans, int n, int k, num alpha, num beta)
{
	static struct matrix a, c;
	char other = hermitian ? 'C' : 'T';
	struct value al = value(type, alpha), be = value(type, beta);
	bool same = al.x == 0 && be.x == 1;
	char what[80];

	snprintf(what, sizeof(what), "%c%s %c%c %d %d", types[type], hermitian ? "herk" : "syrk", uplo,
		 trans ? other : 'N', n, k);
	make(&a, type, trans ? k : n, trans ? n : k);
	make(&c, type, n, n);
	for (int j = 0; j < n; j++)
		for (int i = 0; i < n; i++)
			if ((uplo == 'L') ? i < j : i > j)
				put(&c, i, j, NAN);
	if (be.x == 0)
		put(&c, 0, 0, NAN);
	if (al.x == 0)
		put(&a, 0, 0, NAN);
	before(2, (struct matrix *[]){&a, &c});
	(hermitian ? herk : syrk)[type](letter(uplo), letter(trans ? other : 'N'), n, k, al.bytes, a.p, a.ld, be.bytes,
					c.p, c.ld);
	no_exceptions(what);
	untouched(&a, 0, what), untouched(&c, same ? 0 : uplo, what);
	for (int j = 0; j < n && !same; j++)
		for (int i = uplo == 'L' ? j : 0; i <= (uplo == 'L' ? n - 1 : j); i++) {
			num old = hermitian && i == j ? creall(was(&c, i, j)) : was(&c, i, j);
			num want = be.x == 0 ? 0 : be.x * old;
			long double mass = cabsl(want);

			for (int l = 0; l < k && al.x != 0; l++) {
				num x = trans ? was(&a, l, i) : was(&a, i, l),
				    y = trans ? was(&a, l, j) : was(&a, j, l);
				num product = al.x * (hermitian ? trans ? conjl(x) * y : x * conjl(y) : x * y);

				want += product;
				mass += cabsl(product);
			}
			expect_near(type, at(&c, i, j), want, mass, k + 3, what);
			cr_assert(!hermitian || i != j || cimagl(at(&c, i, j)) == 0);
		}
}

Test(tiny, syrk_herk)
{
	for (int type = 0; type < 4; type++)
		for (int n = 1; n <= CDM_TINY_MAX; n++)
			for (int o = 0; o < 8; o++) {
				check_rank(type, false, "LU"[o & 1], o & 2, n, size(), factor(type), factor(type));
				if (IS_COMPLEX(type))
					check_rank(type, true, "LU"[o & 1], o & 2, n, size(), creall(factor(type)),
						   creall(factor(type)));
			}
}

/* ---- trsm ---- */

static cdm_tiny_trsm_fn *const trsm[] = {cdm_tiny_strsm, cdm_tiny_dtrsm, cdm_tiny_ctrsm, cdm_tiny_ztrsm};

/* Element (i, j) of op(A), A triangular. */
static num triangle(const struct matrix *a, char uplo, char trans, char diag, int i, int j)
{
	int r = trans == 'N' ? i : j, c = trans == 'N' ? j : i;

	if (uplo == 'L' ? r < c : r > c)
		return 0;
	return r == c && diag == 'U' ? 1 : op(a, trans, i, j);
}

/* A with a triangle that can be solved, and NaN in all elements that must not be read. */
static void make_triangle(struct matrix *a, int type, int k, char uplo, char diag)
{
	make(a, type, k, k);
	for (int j = 0; j < k; j++)
		for (int i = 0; i < k; i++)
			if (uplo == 'L' ? i < j : i > j)
				put(a, i, j, NAN);
			else if (i == j)
				put(a, i, j, diag == 'U' ? NAN : at(a, i, j) + (below(2) ? 2 : -2));
			else
				put(a, i, j, at(a, i, j) / (k / 2.0L + 1));
}

/* op(A) X - alpha B, or X op(A) - alpha B, against what rounding explains. */
static void check_residual(const struct matrix *a, const struct matrix *b, char side, char uplo, char trans, char diag,
			   num alpha, const char *what)
{
	int k = a->m;

	for (int j = 0; j < b->n; j++)
		for (int i = 0; i < b->m; i++) {
			num sum = 0, right = alpha == 0 ? 0 : alpha * was(b, i, j);
			long double mass = cabsl(right);

			for (int l = 0; l < k; l++) {
				num product = side == 'L' ? triangle(a, uplo, trans, diag, i, l) * at(b, l, j)
							  : at(b, i, l) * triangle(a, uplo, trans, diag, l, j);

				sum += product;
				mass += cabsl(product);
			}
			expect_near(b->type, sum, right, mass, 2 * k + 4, what);
		}
}

static void check_trsm(int type, char side, char uplo, char trans, char diag, int m, int n, num alpha)
{
	static struct matrix a, b;
	struct value al = value(type, alpha);
	char what[80];

	snprintf(what, sizeof(what), "%ctrsm %c%c%c%c %d %d", types[type], side, uplo, trans, diag, m, n);
	make_triangle(&a, type, side == 'L' ? m : n, uplo, diag);
	make(&b, type, m, n);
	if (al.x == 0)
		put(&a, 0, 0, NAN), put(&b, 0, 0, NAN);
	before(2, (struct matrix *[]){&a, &b});
	trsm[type](letter(side), letter(uplo), letter(trans), letter(diag), m, n, al.bytes, a.p, a.ld, b.p, b.ld);
	no_exceptions(what);
	untouched(&a, 0, what), untouched(&b, 'A', what);
	for (int j = 0; j < n && al.x == 0; j++)
		for (int i = 0; i < m; i++)
			cr_assert(at(&b, i, j) == 0, "%s", what);
	if (al.x != 0)
		check_residual(&a, &b, side, uplo, trans, diag, al.x, what);
}

Test(tiny, trsm)
{
	for (int type = 0; type < 4; type++)
		for (int o = 0; o < 24; o++)
			for (int k = 1; k <= CDM_TINY_MAX; k++) {
				char side = "LR"[o & 1];

				check_trsm(type, side, "LU"[o >> 1 & 1], "NTC"[o / 8], "NU"[o >> 2 & 1],
					   side == 'L' ? k : size(), side == 'L' ? size() : k, factor(type));
			}
}

/* A zero on the diagonal gives infinities, a subnormal one what a division gives: 0 / x is 0. */
Test(tiny, trsm_singular)
{
	static struct matrix a, b;
	const double small[] = {1e-40, 1e-310, 1e-40, 1e-310};

	for (int type = 0; type < 4; type++)
		for (int round = 0; round < 40; round++) {
			struct value one = value(type, 1);
			int m = size(), n = size();

			make_triangle(&a, type, m, 'L', 'N');
			make(&b, type, m, n);
			put(&a, m - 1, m - 1, small[type]);
			for (int j = 0; j < n; j++)
				for (int i = 0; i < m; i++)
					put(&b, i, j, 0);
			trsm[type]('L', 'L', 'N', 'N', m, n, one.bytes, a.p, a.ld, b.p, b.ld);
			for (int j = 0; j < n; j++)
				for (int i = 0; i < m; i++)
					cr_assert(at(&b, i, j) == 0, "0 / %g", small[type]);
			put(&a, m - 1, m - 1, 0);
			put(&b, m - 1, n - 1, 3);
			trsm[type]('L', 'L', 'N', 'N', m, n, one.bytes, a.p, a.ld, b.p, b.ld);
			cr_assert(!isfinite(creall(at(&b, m - 1, n - 1))));
		}
}

/* ---- getrf ---- */

static cdm_tiny_getrf_fn *const getrf[] = {cdm_tiny_sgetrf, cdm_tiny_dgetrf, cdm_tiny_cgetrf, cdm_tiny_zgetrf};

static long double abs1(num x)
{
	return fabsl(creall(x)) + fabsl(cimagl(x));
}

/* Row `with` of A, which stands in `rows` as permuted so far, is a pivot that partial pivoting may take for column j:
 * none of the rows below it has a larger element, but for rounding errors. The elimination goes on with what it says. */
static void eliminate(num *w, int m, int n, int j, int with, int type, const char *what)
{
	long double most = 0, noise = 100.0L * n * epsilon[type];

	for (int i = j; i < m; i++)
		most = fmaxl(most, abs1(w[i + j * m]));
	cr_assert(abs1(w[with + j * m]) >= most * (1 - noise) - noise, "%s: pivot %d of column %d", what, with, j);
	for (int c = 0; c < n; c++) {
		num x = w[with + c * m];

		w[with + c * m] = w[j + c * m], w[j + c * m] = x;
	}
	for (int i = j + 1; i < m && w[j + j * m] != 0; i++) {
		w[i + j * m] /= w[j + j * m];
		for (int c = j + 1; c < n; c++)
			w[i + c * m] -= w[i + j * m] * w[j + c * m];
	}
}

/* P A = L U. */
static void check_factors(const struct matrix *a, const int *ipiv, const char *what)
{
	int m = a->m, n = a->n, rows[CDM_TINY_MAX];

	for (int i = 0; i < m; i++)
		rows[i] = i;
	for (int i = 0; i < (m < n ? m : n); i++) {
		int with = ipiv[i] - 1, r = rows[i];

		cr_assert(with >= i && with < m, "%s: ipiv", what);
		rows[i] = rows[with], rows[with] = r;
	}
	for (int j = 0; j < n; j++)
		for (int i = 0; i < m; i++) {
			num sum = 0;
			long double mass = 0;

			for (int l = 0; l <= i && l <= j && l < n; l++) {
				num product = (l == i ? 1 : at(a, i, l)) * at(a, l, j);

				sum += product;
				mass += cabsl(product);
			}
			expect_near(a->type, sum, was(a, rows[i], j), mass, 2 * m + 4, what);
		}
}

static void check_getrf(int type, int m, int n)
{
	static struct matrix a;
	int ipiv[CDM_TINY_MAX + 1], steps = m < n ? m : n, info;
	num w[CDM_TINY_MAX * CDM_TINY_MAX];
	char what[80];

	snprintf(what, sizeof(what), "%cgetrf %d %d", types[type], m, n);
	make(&a, type, m, n);
	before(1, (struct matrix *[]){&a});
	ipiv[steps] = -5;
	info = getrf[type](m, n, a.p, a.ld, ipiv);
	no_exceptions(what);
	untouched(&a, 'A', what);
	cr_assert_eq(info, 0, "%s", what);
	cr_assert_eq(ipiv[steps], -5, "%s", what);
	memcpy(w, a.was, sizeof(num) * (size_t)(m * n));
	for (int j = 0; j < steps; j++)
		eliminate(w, m, n, j, ipiv[j] - 1, type, what);
	check_factors(&a, ipiv, what);
}

Test(tiny, getrf)
{
	for (int type = 0; type < 4; type++)
		for (int m = 1; m <= CDM_TINY_MAX; m++)
			for (int n = 1; n <= CDM_TINY_MAX; n += 1 + (int)below(2))
				check_getrf(type, m, n);
}

/* The reference's unblocked elimination in double, for matrices whose elements are small multiples of powers of two: where
 * rounding never happens the pivots are the same, however many candidates are equal. */
static int plain_getrf(double *a, int m, int n, int *ipiv)
{
	int info = 0;

	for (int j = 0; j < (m < n ? m : n); j++) {
		int with = j;

		for (int i = j + 1; i < m; i++)
			if (fabs(a[i + j * m]) > fabs(a[with + j * m]))
				with = i;
		ipiv[j] = with + 1;
		for (int c = 0; c < n; c++) {
			double x = a[with + c * m];

			a[with + c * m] = a[j + c * m], a[j + c * m] = x;
		}
		if (a[j + j * m] == 0) {
			info = info ? info : j + 1;
			continue;
		}
		for (int i = j + 1; i < m; i++) {
			a[i + j * m] *= 1 / a[j + j * m];
			for (int c = j + 1; c < n; c++)
				a[i + c * m] = fma(-a[i + j * m], a[j + c * m], a[i + c * m]);
		}
	}
	return info;
}

/* Equal candidates, zero pivots, singular matrices: pivots, info and factors are those of plain loops, bit by bit. */
Test(tiny, getrf_ties)
{
	static struct matrix a;
	int seen = 0;

	for (int round = 0; round < 3000; round++) {
		int m = size(), n = size(), ipiv[CDM_TINY_MAX], want[CDM_TINY_MAX], info, values = 1 + (int)below(3);
		double w[CDM_TINY_MAX * CDM_TINY_MAX];

		make(&a, CDM_TINY_D, m, n);
		for (int j = 0; j < n; j++)
			for (int i = 0; i < m; i++) {
				w[i + j * m] = (double)below(2 * (uint32_t)values + 1) - values;
				put(&a, i, j, w[i + j * m]);
			}
		for (int z = (int)below(4), i = 0; i < z; i++) {
			int column = (int)below((uint32_t)n);

			for (int r = 0; r < m; r++)
				put(&a, r, column, w[r + column * m] = 0);
		}
		info = plain_getrf(w, m, n, want);
		cr_assert_eq(getrf[CDM_TINY_D](m, n, a.p, a.ld, ipiv), info);
		seen += info > 0;
		cr_assert_eq(memcmp(ipiv, want, sizeof(int) * (size_t)(m < n ? m : n)), 0);
		for (int j = 0; j < n; j++)
			for (int i = 0; i < m; i++)
				cr_assert(at(&a, i, j) == w[i + j * m]);
	}
	cr_assert_gt(seen, 100);
}

/* i?amax: NaN in the first place stays the pivot, elsewhere it is passed over; the complex ones compare |re| + |im|. */
Test(tiny, getrf_pivot_rule)
{
	static struct matrix a;
	int ipiv[CDM_TINY_MAX];

	for (int type = 0; type < 4; type++)
		for (int m = 2; m <= CDM_TINY_MAX; m++) {
			int row = 1 + (int)below((uint32_t)m - 1);

			make(&a, type, m, 1);
			put(&a, 0, 0, NAN);
			getrf[type](m, 1, a.p, a.ld, ipiv);
			cr_assert_eq(ipiv[0], 1);
			make(&a, type, m, 1);
			put(&a, row, 0, NAN);
			put(&a, 0, 0, 5);
			getrf[type](m, 1, a.p, a.ld, ipiv);
			cr_assert_eq(ipiv[0], 1);
			make(&a, type, m, 1);
			put(&a, 0, 0, 2.5), put(&a, row, 0, IS_COMPLEX(type) ? 1.5 + 1.5 * I : 2.75);
			cr_assert_eq(getrf[type](m, 1, a.p, a.ld, ipiv), 0);
			cr_assert_eq(ipiv[0], row + 1);
			for (int i = 0; i < m; i++)
				put(&a, i, 0, 0);
			cr_assert_eq(getrf[type](m, 1, a.p, a.ld, ipiv), 1);
			cr_assert_eq(ipiv[0], 1);
		}
}

/* A subnormal pivot divides, it has no reciprocal. */
Test(tiny, getrf_small_pivots)
{
	static struct matrix a;
	const double small[] = {1e-40, 1e-310, 1e-40, 1e-310};
	int ipiv[2];

	for (int type = 0; type < 4; type++) {
		make(&a, type, 2, 2);
		put(&a, 0, 0, small[type]), put(&a, 1, 0, -small[type] / 2);
		put(&a, 0, 1, 1), put(&a, 1, 1, 1);
		cr_assert_eq(getrf[type](2, 2, a.p, a.ld, ipiv), 0);
		cr_assert_lt(cabsl(at(&a, 1, 0) + 0.5L), 1e-3);
		cr_assert_lt(cabsl(at(&a, 1, 1) - 1.5L), 1e-3);
	}
}

typedef void lapack_getrf(const int *, const int *, void *, const int *, int *, int *);

Test(tiny, getrf_like_lapack)
{
	static struct matrix a;
	void *library = dlopen("liblapack.so.3", RTLD_NOW | RTLD_LOCAL);
	lapack_getrf *theirs[4];

	if (!library)
		cr_skip_test("no liblapack.so.3");
	theirs[CDM_TINY_D] = (lapack_getrf *)dlsym(library, "dgetrf_");
	theirs[CDM_TINY_Z] = (lapack_getrf *)dlsym(library, "zgetrf_");
	cr_assert(theirs[CDM_TINY_D] && theirs[CDM_TINY_Z]);
	for (int round = 0; round < 1000; round++) {
		int type = below(2) ? CDM_TINY_D : CDM_TINY_Z, m = size(), n = size(), info, steps = m < n ? m : n;
		int ours[CDM_TINY_MAX], want[CDM_TINY_MAX], ld;
		char *copy = malloc(SPACE);

		make(&a, type, m, n);
		ld = (int)a.ld;
		memcpy(copy, a.space, SPACE);
		theirs[type](&m, &n, copy + (a.p - a.space), &ld, want, &info);
		cr_assert_eq(getrf[type](m, n, a.p, a.ld, ours), info);
		cr_assert_eq(memcmp(ours, want, sizeof(int) * (size_t)steps), 0);
		free(copy);
	}
}

/* ---- potrf ---- */

static cdm_tiny_potrf_fn *const potrf[] = {cdm_tiny_spotrf, cdm_tiny_dpotrf, cdm_tiny_cpotrf, cdm_tiny_zpotrf};

/* The named triangle of a positive definite matrix; the other is NaN. */
static void make_positive(struct matrix *a, int type, int n, char uplo)
{
	num g[CDM_TINY_MAX * CDM_TINY_MAX];

	make(a, type, n, n);
	for (int i = 0; i < n * n; i++)
		g[i] = number(type);
	for (int j = 0; j < n; j++)
		for (int i = 0; i < n; i++) {
			num sum = i == j ? 0.5L : 0;

			for (int l = 0; l < n; l++)
				sum += g[i + l * n] * conjl(g[j + l * n]);
			put(a, i, j, (uplo == 'L' ? i < j : i > j) ? NAN : sum);
		}
}

/* A = L L^H in the leading `done` rows and columns. */
static void check_root(const struct matrix *a, char uplo, int done, const char *what)
{
	for (int j = 0; j < done; j++)
		for (int i = j; i < done; i++) {
			num sum = 0, want = uplo == 'L' ? was(a, i, j) : conjl(was(a, j, i));
			long double mass = 0;

			for (int l = 0; l <= j; l++) {
				num x = uplo == 'L' ? at(a, i, l) : conjl(at(a, l, i)),
				    y = uplo == 'L' ? at(a, j, l) : conjl(at(a, l, j));

				sum += x * conjl(y);
				mass += cabsl(x * y);
			}
			expect_near(a->type, sum, want, mass, 2 * done + 6, what);
		}
}

static void check_potrf(int type, char uplo, int n, int bad, num pivot)
{
	static struct matrix a;
	char what[80];
	int info;

	snprintf(what, sizeof(what), "%cpotrf %c %d, bad %d", types[type], uplo, n, bad);
	make_positive(&a, type, n, uplo);
	if (bad)
		put(&a, bad - 1, bad - 1, pivot);
	before(1, (struct matrix *[]){&a});
	info = potrf[type](letter(uplo), n, a.p, a.ld);
	no_exceptions(what);
	untouched(&a, uplo, what);
	cr_assert_eq(info, bad, "%s: info = %d", what, info);
	check_root(&a, uplo, bad ? bad - 1 : n, what);
}

Test(tiny, potrf)
{
	for (int type = 0; type < 4; type++)
		for (int n = 1; n <= CDM_TINY_MAX; n++)
			for (int round = 0; round < 4; round++) {
				check_potrf(type, "LU"[round & 1], n, 0, 0);
				check_potrf(type, "LU"[round & 1], n, 1 + (int)below((uint32_t)n),
					    (num[]){-1, NAN, 0, -INFINITY}[round]);
			}
}

/* Pivots that have no reciprocal. */
Test(tiny, potrf_small)
{
	static struct matrix a;
	const double small[] = {1e-41, 1e-311, 1e-41, 1e-311};

	for (int type = 0; type < 4; type++)
		for (int u = 0; u < 2; u++) {
			make(&a, type, 2, 2);
			put(&a, 0, 0, 4 * small[type]), put(&a, 1, 0, 2 * small[type]), put(&a, 0, 1, 2 * small[type]);
			put(&a, 1, 1, 2 * small[type]);
			cr_assert_eq(potrf[type]("LU"[u], 2, a.p, a.ld), 0);
			cr_assert_lt(cabsl(at(&a, 0, 0) - 2 * sqrtl(small[type])), 1e-3L * sqrtl(small[type]));
			cr_assert_lt(cabsl(at(&a, u ? 0 : 1, u ? 1 : 0) - sqrtl(small[type])),
				     1e-3L * sqrtl(small[type]));
			cr_assert_lt(cabsl(at(&a, 1, 1) - sqrtl(small[type])), 1e-3L * sqrtl(small[type]));
		}
}

Test(tiny, limits)
{
	for (int r = 0; r < CDM_TINY_ROUTINES; r++)
		for (int type = 0; type < 4; type++) {
			cr_assert_geq(cdm_tiny_limits[r][type].from, 1);
			cr_assert_leq(cdm_tiny_limits[r][type].from, cdm_tiny_limits[r][type].to);
			cr_assert_leq(cdm_tiny_limits[r][type].to, CDM_TINY_MAX);
		}
}
