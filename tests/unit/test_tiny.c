/* The kernels for tiny matrices, gemm to trsm, against plain loops in long double: all types, options and sizes, random leading
 * dimensions, special values. */
#include "tests/unit/tiny_matrix.h"

TestSuite(tiny, .init = start, .timeout = 170);

/* ---- gemm ---- */

static void check_gemm(int type, char ta, char tb, int m, int n, int k, num alpha, num beta)
{
	static struct matrix a, b, c;
	struct value al = value(type, alpha), be = value(type, beta);
	char what[80];

	snprintf(what, sizeof(what), "%s %cgemm %c%c %d %d %d", set->name, types[type], ta, tb, m, n, k);
	make(&a, type, ta == 'N' ? m : k, ta == 'N' ? k : m);
	make(&b, type, tb == 'N' ? k : n, tb == 'N' ? n : k);
	make(&c, type, m, n);
	if (be.x == 0)
		put(&c, (int)below((uint32_t)m), (int)below((uint32_t)n), NAN);
	if (al.x == 0)
		put(&a, 0, 0, NAN), put(&b, 0, 0, INFINITY);
	before(3, (struct matrix *[]){&a, &b, &c});
	set->of[type].gemm(letter(ta), letter(tb), m, n, k, al.bytes, a.p, a.ld, b.p, b.ld, be.bytes, c.p, c.ld);
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
	EACH_SET for (int type = 0; type < 4; type++) for (int m = 1; m <= CDM_TINY_ORDER;
							   m++) for (int n = 1; n <= CDM_TINY_ORDER;
								     n += 1 + (int)below(3))
		check_gemm(type, "NTC"[below(3)], "NTC"[below(3)], m, n, size(), factor(type), factor(type));
}

/* Up to what a call may have by cdm_tiny_limits, and beyond. */
Test(tiny, gemm_thin)
{
	EACH_SET for (int type = 0; type < 4; type++) for (int i = 0; i < 700; i++)
	{
		int d[3];

		thin(CDM_TINY_LONG, i % 10 ? 4000 : i % 50 ? 20000 : 262144, d);
		check_gemm(type, "NTC"[below(3)], "NTC"[below(3)], d[0], d[1], d[2], factor(type), factor(type));
	}
}

Test(tiny, gemm_options)
{
	EACH_SET for (int type = 0; type < 4; type++) for (int o = 0; o < 9 * 3; o++) for (int i = 0; i < 8; i++)
		check_gemm(type, "NTC"[o % 3], "NTC"[o / 3 % 3], 1 + (int)below(12), 1 + (int)below(12), size(),
			   o < 9 ? number(type) : 1, o < 18 ? number(type) : o & 1);
}

/* NaN and infinity reach the rows and columns that they belong to, and no others. */
Test(tiny, gemm_special)
{
	static struct matrix a, b, c;

	EACH_SET for (int type = 0; type < 4; type++) for (int round = 0; round < 100; round++)
	{
		int m = size(), n = size(), k = size(), row = (int)below((uint32_t)m), col = (int)below((uint32_t)n);
		char ta = "NTC"[below(3)], tb = "NTC"[below(3)];
		struct value one = value(type, 1);

		make(&a, type, ta == 'N' ? m : k, ta == 'N' ? k : m);
		make(&b, type, tb == 'N' ? k : n, tb == 'N' ? n : k);
		make(&c, type, m, n);
		put(&a, ta == 'N' ? row : 0, ta == 'N' ? 0 : row, NAN);
		put(&b, tb == 'N' ? k - 1 : col, tb == 'N' ? col : k - 1, INFINITY);
		set->of[type].gemm(ta, tb, m, n, k, one.bytes, a.p, a.ld, b.p, b.ld, one.bytes, c.p, c.ld);
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

static void check_gemv(int type, char trans, int m, int n, int incx, int incy, num alpha, num beta)
{
	static struct matrix a, x, y;
	struct value al = value(type, alpha), be = value(type, beta);
	int nx = trans == 'N' ? n : m, ny = trans == 'N' ? m : n;
	char what[80];

	snprintf(what, sizeof(what), "%s %cgemv %c %d %d inc %d %d", set->name, types[type], trans, m, n, incx, incy);
	make(&a, type, m, n);
	make_ld(&x, type, 1, nx, abs(incx));
	make_ld(&y, type, 1, ny, abs(incy));
	if (be.x == 0)
		put(&y, 0, (int)below((uint32_t)ny), NAN);
	if (al.x == 0)
		put(&a, 0, 0, NAN), put(&x, 0, 0, INFINITY);
	before(3, (struct matrix *[]){&a, &x, &y});
	set->of[type].gemv(letter(trans), m, n, al.bytes, a.p, a.ld, x.p, incx, be.bytes, y.p, incy);
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
	EACH_SET for (int type = 0; type < 4; type++) for (int m = 1; m <= CDM_TINY_ORDER;
							   m++) for (int n = 1; n <= CDM_TINY_ORDER; n++)
		check_gemv(type, "NTC"[below(3)], m, n, below(2) ? 1 : (int)below(2) * 5 - 3,
			   below(2) ? 1 : (int)below(2) * 7 - 4, factor(type), factor(type));
}

static int increment(void)
{
	return below(2) ? 1 : (int)below(2) * 7 - 4;
}

Test(tiny, gemv_thin)
{
	EACH_SET for (int type = 0; type < 4; type++) for (int i = 0; i < 1500; i++)
	{
		int d[3];

		thin(CDM_TINY_VECTOR, i % 10 ? 3000 : 16384, d);
		check_gemv(type, "NTC"[below(3)], d[0], d[1], increment(), increment(), factor(type), factor(type));
	}
}

/* NaN and infinity reach the elements that they belong to, and no others. */
Test(tiny, gemv_special)
{
	static struct matrix a, x, y;

	EACH_SET for (int type = 0; type < 4; type++) for (int round = 0; round < 200; round++)
	{
		int d[3], row, nx, ny;
		char trans = "NTC"[below(3)];
		struct value one = value(type, 1), zero = value(type, 0);

		thin(100, 2000, d);
		nx = trans == 'N' ? d[1] : d[0], ny = trans == 'N' ? d[0] : d[1];
		row = (int)below((uint32_t)ny);
		make(&a, type, d[0], d[1]);
		make_ld(&x, type, 1, nx, 1);
		make_ld(&y, type, 1, ny, 1);
		put(&a, trans == 'N' ? row : (int)below((uint32_t)nx), trans == 'N' ? (int)below((uint32_t)nx) : row,
		    round & 1 ? NAN : INFINITY);
		for (int i = 0; i < nx && round & 2; i++)
			put(&x, 0, i, 0);
		set->of[type].gemv(trans, d[0], d[1], one.bytes, a.p, a.ld, x.p, 1, zero.bytes, y.p, 1);
		for (int i = 0; i < ny; i++)
			cr_assert_eq(isfinite(creall(at(&y, 0, i))) && isfinite(cimagl(at(&y, 0, i))), i != row);
	}
}

/* ---- syrk, herk ---- */

static void check_rank(int type, bool hermitian, char uplo, bool trans, int n, int k, num alpha, num beta)
{
	static struct matrix a, c;
	char other = hermitian ? 'C' : 'T';
	struct value al = value(type, alpha), be = value(type, beta);
	bool same = al.x == 0 && be.x == 1;
	char what[80];

	snprintf(what, sizeof(what), "%s %c%s %c%c %d %d", set->name, types[type], hermitian ? "herk" : "syrk", uplo,
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
	(hermitian ? set->of[type].herk : set->of[type].syrk)(letter(uplo), letter(trans ? other : 'N'), n, k, al.bytes,
							      a.p, a.ld, be.bytes, c.p, c.ld);
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
	EACH_SET for (int type = 0; type < 4; type++) for (int n = 1; n <= CDM_TINY_ORDER; n++) for (int o = 0; o < 8;
												     o++)
	{
		check_rank(type, false, "LU"[o & 1], o & 2, n, size(), factor(type), factor(type));
		if (IS_COMPLEX(type))
			check_rank(type, true, "LU"[o & 1], o & 2, n, size(), creall(factor(type)),
				   creall(factor(type)));
	}
}

Test(tiny, syrk_herk_thin)
{
	EACH_SET for (int type = 0; type < 4; type++) for (int i = 0; i < 400; i++)
	{
		int n = side(i % 10 ? 40 : 160, 1, CDM_TINY_LONG), k = side(CDM_TINY_LONG, n, 10000 / n + n);

		check_rank(type, false, "LU"[i & 1], i & 2, n, k, factor(type), factor(type));
		if (IS_COMPLEX(type))
			check_rank(type, true, "LU"[i & 1], i & 2, n, k, creall(factor(type)), creall(factor(type)));
	}
}

/* More columns than are taken at once. */
Test(tiny, syrk_herk_deep)
{
	EACH_SET for (int type = 0; type < 4; type++) for (int i = 0; i < 24; i++)
	{
		int n = i % 3 ? size() : 128, k = i % 3 ? CDM_TINY_LONG + 1 + (int)below(800) : 1 + (int)below(300);

		if (IS_COMPLEX(type) && i & 4)
			check_rank(type, true, "LU"[i & 1], i & 2, n, k, creall(factor(type)), creall(factor(type)));
		else
			check_rank(type, false, "LU"[i & 1], i & 2, n, k, factor(type), factor(type));
	}
}

/* ---- trsm ---- */

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

	snprintf(what, sizeof(what), "%s %ctrsm %c%c%c%c %d %d", set->name, types[type], side, uplo, trans, diag, m, n);
	make_triangle(&a, type, side == 'L' ? m : n, uplo, diag);
	make(&b, type, m, n);
	if (al.x == 0)
		put(&a, 0, 0, NAN), put(&b, 0, 0, NAN);
	before(2, (struct matrix *[]){&a, &b});
	set->of[type].trsm(letter(side), letter(uplo), letter(trans), letter(diag), m, n, al.bytes, a.p, a.ld, b.p,
			   b.ld);
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
	EACH_SET for (int type = 0; type < 4; type++) for (int o = 0; o < 24; o++) for (int k = 1; k <= CDM_TINY_ORDER;
											k++)
	{
		char side = "LR"[o & 1];

		check_trsm(type, side, "LU"[o >> 1 & 1], "NTC"[o / 8], "NU"[o >> 2 & 1], side == 'L' ? k : size(),
			   side == 'L' ? size() : k, factor(type));
	}
}

Test(tiny, trsm_thin)
{
	EACH_SET for (int type = 0; type < 4; type++) for (int i = 0; i < 24 * 16; i++)
	{
		int k = size(), other = side(CDM_TINY_LONG, k, 8192), left = i & 1;

		check_trsm(type, "RL"[left], "LU"[i >> 1 & 1], "NTC"[i / 8 % 3], "NU"[i >> 2 & 1], left ? k : other,
			   left ? other : k, factor(type));
	}
}

/* Triangles of several blocks. */
Test(tiny, trsm_blocks)
{
	EACH_SET for (int type = 0; type < 4; type++) for (int i = 0; i < 24 * 3; i++)
	{
		int k = i ? CDM_TINY_ORDER + 1 + (int)below(3 * CDM_TINY_ORDER) : CDM_TINY_BLOCKS,
		    other = side(i % 3 ? 16 : CDM_TINY_LONG, k, 16384), left = i & 1;

		check_trsm(type, "RL"[left], "LU"[i >> 1 & 1], "NTC"[i / 8 % 3], "NU"[i >> 2 & 1], left ? k : other,
			   left ? other : k, factor(type));
	}
}

/* A zero on the diagonal gives infinities, a subnormal one what a division gives: 0 / x is 0. */
Test(tiny, trsm_singular)
{
	static struct matrix a, b;
	const double small[] = {1e-40, 1e-310, 1e-40, 1e-310};

	EACH_SET for (int type = 0; type < 4; type++) for (int round = 0; round < 40; round++)
	{
		struct value one = value(type, 1);
		int m = size(), n = size();

		make_triangle(&a, type, m, 'L', 'N');
		make(&b, type, m, n);
		put(&a, m - 1, m - 1, small[type]);
		for (int j = 0; j < n; j++)
			for (int i = 0; i < m; i++)
				put(&b, i, j, 0);
		set->of[type].trsm('L', 'L', 'N', 'N', m, n, one.bytes, a.p, a.ld, b.p, b.ld);
		for (int j = 0; j < n; j++)
			for (int i = 0; i < m; i++)
				cr_assert(at(&b, i, j) == 0, "0 / %g", small[type]);
		put(&a, m - 1, m - 1, 0);
		put(&b, m - 1, n - 1, 3);
		set->of[type].trsm('L', 'L', 'N', 'N', m, n, one.bytes, a.p, a.ld, b.p, b.ld);
		cr_assert(!isfinite(creall(at(&b, m - 1, n - 1))));
	}
}

/* What is chosen is what the kernels can do. */
Test(tiny, limits)
{
	EACH_SET for (int r = 0; r < CDM_TINY_ROUTINES; r++) for (int type = 0; type < 4; type++)
	{
		const struct cdm_tiny_limit *l = &set->limits[r][type];

		cr_assert_geq(l->from, 1);
		cr_assert_leq(l->from, l->to);
		if (r != CDM_TINY_SYRK)
			cr_assert_leq(l->to,
				      r == CDM_TINY_GEMV || r == CDM_TINY_GETRF ? CDM_TINY_VECTOR : CDM_TINY_LONG);
		if (r == CDM_TINY_TRSM || r == CDM_TINY_POTRF || (r == CDM_TINY_GETRF && set->tall[type]))
			cr_assert_leq(l->order, CDM_TINY_BLOCKS);
		else if (r == CDM_TINY_GETRF)
			cr_assert_leq(l->order, CDM_TINY_ORDER);
		cr_assert_leq(set->tall[type], CDM_TINY_TALL);
		if (r == CDM_TINY_POTRF)
			cr_assert_leq(l->to, CDM_TINY_BLOCKS);
	}
}
