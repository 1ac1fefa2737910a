/* The factorizations of tiny matrices: pivots and info as the reference's, residuals, singular matrices. */
#include <dlfcn.h>

#include "tests/unit/tiny_matrix.h"

TestSuite(tiny_factor, .init = start, .timeout = 170);

/* ---- getrf ---- */

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
	int m = a->m, n = a->n, rows[CDM_TINY_VECTOR];

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
	int ipiv[CDM_TINY_BLOCKS + 1], steps = m < n ? m : n, info;
	static num w[CDM_TINY_BLOCKS * CDM_TINY_BLOCKS];
	char what[80];

	snprintf(what, sizeof(what), "%s %cgetrf %d %d", set->name, types[type], m, n);
	make(&a, type, m, n);
	before(1, (struct matrix *[]){&a});
	ipiv[steps] = -5;
	info = set->of[type].getrf(m, n, a.p, a.ld, ipiv);
	no_exceptions(what);
	untouched(&a, 'A', what);
	cr_assert_eq(info, 0, "%s", what);
	cr_assert_eq(ipiv[steps], -5, "%s", what);
	memcpy(w, a.was, sizeof(num) * (size_t)(m * n));
	for (int j = 0; j < steps; j++)
		eliminate(w, m, n, j, ipiv[j] - 1, type, what);
	check_factors(&a, ipiv, what);
}

Test(tiny_factor, getrf)
{
	EACH_SET for (int type = 0; type < 4; type++) for (int m = 1; m <= CDM_TINY_ORDER;
							   m++) for (int n = 1; n <= CDM_TINY_ORDER;
								     n += 1 + (int)below(2)) check_getrf(type, m, n);
}

/* Some of those that are eliminated whole, and some of which a part is solved for. */
Test(tiny_factor, getrf_wide)
{
	EACH_SET for (int type = 0; type < 4; type++) for (int m = 1; m <= CDM_TINY_ORDER; m++)
	{
		int whole = CDM_TINY_AREA / m < CDM_TINY_VECTOR ? CDM_TINY_AREA / m : CDM_TINY_VECTOR;

		for (int n = whole; n > CDM_TINY_ORDER; n -= 1 + (int)below(m < 4 ? 40 : 12))
			check_getrf(type, m, n);
		for (int n = CDM_TINY_VECTOR; n > whole; n = whole + (n - whole) / (2 + (int)below(3)))
			check_getrf(type, m, n);
	}
}

/* Columns of a matrix that may have more rows than CDM_TINY_ORDER; 0: such a matrix may not be. */
static int thin_columns(int type, int m)
{
	int tall = set->tall[type];

	return tall / m < CDM_TINY_THIN ? tall / m : CDM_TINY_THIN;
}

static int tall_rows(void)
{
	return CDM_TINY_ORDER + 1 + (int)below(CDM_TINY_VECTOR - CDM_TINY_ORDER);
}

Test(tiny_factor, getrf_tall)
{
	EACH_SET for (int type = 0; type < 4; type++) for (int i = 0; i < 150; i++)
	{
		int m = i % 3 ? tall_rows() : CDM_TINY_ORDER + 1 + i / 3, most = thin_columns(type, m);

		if (most)
			check_getrf(type, m, 1 + (int)below((uint32_t)most));
	}
}

/* Matrices that are divided, square, tall and wide. */
Test(tiny_factor, getrf_halves)
{
	EACH_SET for (int type = 0; type < 4; type++) for (int i = 0; i < 40; i++)
	{
		int m = i ? CDM_TINY_ORDER + 1 + (int)below(CDM_TINY_BLOCKS - CDM_TINY_ORDER) : CDM_TINY_BLOCKS;
		int n = i ? side(i % 4 ? CDM_TINY_BLOCKS : CDM_TINY_VECTOR, m, 12000) : m;

		if (set->tall[type])
			check_getrf(type, m, n);
	}
}

/* The first column of zeros is in the left or in the right part of a part, or there are two. */
Test(tiny_factor, getrf_halves_singular)
{
	static struct matrix a;
	int ipiv[CDM_TINY_BLOCKS];

	EACH_SET for (int type = 0; type < 4; type++) for (int round = 0; round < 40; round++)
	{
		int m = CDM_TINY_ORDER + 1 + (int)below(CDM_TINY_BLOCKS - CDM_TINY_ORDER), n = m - (int)below(20),
		    zero = (int)below((uint32_t)n), last = zero + (int)below((uint32_t)(n - zero));

		if (!set->tall[type])
			break;
		make(&a, type, m, n);
		for (int i = 0; i < m; i++)
			put(&a, i, zero, 0), put(&a, i, last, 0);
		cr_assert_eq(set->of[type].getrf(m, n, a.p, a.ld, ipiv), zero + 1);
	}
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

/* Square ones, wide ones, and tall ones where there are. */
static void shape_of_ties(int round, int *m, int *n)
{
	int rows = tall_rows(), thin = thin_columns(CDM_TINY_D, rows);

	*m = round % 4 || !thin ? size() : rows;
	*n = *m == rows ? 1 + (int)below((uint32_t)thin) : round % 10 ? size() : 1 + (int)below(CDM_TINY_VECTOR);
}

/* Equal candidates, zero pivots, singular matrices: pivots, info and factors are those of plain loops, bit by bit; what wide matrices
 * have beyond is summed in another order. */
Test(tiny_factor, getrf_ties)
{
	static struct matrix a;
	int seen = 0;

	EACH_SET for (int round = 0; round < 3000; round++)
	{
		int m, n, ipiv[CDM_TINY_ORDER], want[CDM_TINY_ORDER], info, values = 1 + (int)below(3);
		static double w[CDM_TINY_ORDER * CDM_TINY_VECTOR];

		shape_of_ties(round, &m, &n);

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
		cr_assert_eq(set->of[CDM_TINY_D].getrf(m, n, a.p, a.ld, ipiv), info);
		seen += info > 0;
		cr_assert_eq(memcmp(ipiv, want, sizeof(int) * (size_t)(m < n ? m : n)), 0);
		for (int j = 0; j < n; j++)
			for (int i = 0; i < m; i++)
				cr_assert(j < CDM_TINY_ORDER ? at(&a, i, j) == w[i + j * m]
							     : fabs((double)at(&a, i, j) - w[i + j * m]) <=
								       1e-9 * (1 + fabs(w[i + j * m])));
	}
	cr_assert_gt(seen, 100);
}

/* Rows that are not a number are passed over in every step, but for the first of those left. */
Test(tiny_factor, getrf_with_nan)
{
	static struct matrix a;

	EACH_SET for (int round = 0; round < 600; round++)
	{
		int m, n, ipiv[CDM_TINY_ORDER], want[CDM_TINY_ORDER];
		static double w[CDM_TINY_ORDER * CDM_TINY_VECTOR];

		shape_of_ties(round & ~1, &m, &n);
		make(&a, CDM_TINY_D, m, n);
		for (int i = 0; i < 1 + round % 5; i++)
			put(&a, (int)below((uint32_t)m), (int)below((uint32_t)n), NAN);
		for (int j = 0; j < n; j++)
			for (int i = 0; i < m; i++)
				w[i + j * m] = (double)at(&a, i, j);
		plain_getrf(w, m, n, want);
		cr_assert_eq(set->of[CDM_TINY_D].getrf(m, n, a.p, a.ld, ipiv), 0);
		cr_assert_eq(memcmp(ipiv, want, sizeof(int) * (size_t)(m < n ? m : n)), 0);
		for (int j = 0; j < n; j++)
			for (int i = 0; i < m; i++) {
				double x = (double)at(&a, i, j), y = w[i + j * m];

				cr_assert(isnan(x) ? isnan(y) : fabs(x - y) <= 1e-6 * (1 + fabs(y)));
			}
	}
}

/* Two columns, of which the first has elements other than zero only where its pivot is, and in the first row. The second has no
 * largest element below then, or none that is a number but the one that has come down. */
Test(tiny_factor, getrf_nothing_left)
{
	static struct matrix a;
	int ipiv[2];

	EACH_SET for (int type = 0; type < 4; type++) for (int m = 3; m <= 3 * CDM_TINY_ORDER; m++)
	{
		int row = 1 + (int)below((uint32_t)m - 1);

		if (m > CDM_TINY_ORDER && thin_columns(type, m) < 2)
			break;
		make(&a, type, m, 2);
		for (int i = 0; i < m; i++)
			put(&a, i, 0, 0), put(&a, i, 1, 0);
		put(&a, row, 0, 49), put(&a, row, 1, 1);
		cr_assert_eq(set->of[type].getrf(m, 2, a.p, a.ld, ipiv), 2);
		cr_assert(ipiv[0] == row + 1 && ipiv[1] == 2, "%c %d: %d %d", types[type], m, ipiv[0], ipiv[1]);
		if (IS_COMPLEX(type))
			continue;
		make(&a, type, m, 2);
		for (int i = 0; i < m; i++)
			put(&a, i, 0, 0);
		put(&a, 0, 0, 1), put(&a, 1, 0, 2), put(&a, 1, 1, INFINITY);
		cr_assert_eq(set->of[type].getrf(m, 2, a.p, a.ld, ipiv), 0);
		cr_assert(ipiv[0] == 2 && ipiv[1] == 2, "%c %d: %d %d", types[type], m, ipiv[0], ipiv[1]);
	}
}

/* Rows above the pivot are not multiplied by its reciprocal, which would overflow. */
Test(tiny_factor, getrf_large_above_small)
{
	static struct matrix a;
	int ipiv[CDM_TINY_ORDER];

	EACH_SET for (int m = CDM_TINY_ORDER + 1; m <= 3 * CDM_TINY_ORDER && set->tall[CDM_TINY_D]; m++)
	{
		make(&a, CDM_TINY_D, m, 5);
		for (int i = 0; i < m; i++)
			put(&a, i, 0, i == 0), put(&a, i, 1, i == 0 ? 1e200 : 1e-200 / (i + 1));
		before(1, (struct matrix *[]){&a});
		cr_assert_eq(set->of[CDM_TINY_D].getrf(m, 5, a.p, a.ld, ipiv), 0);
		no_exceptions("getrf, large above small");
	}
}

/* i?amax: NaN in the first place stays the pivot, elsewhere it is passed over; the complex ones compare |re| + |im|. */
Test(tiny_factor, getrf_pivot_rule)
{
	static struct matrix a;
	int ipiv[CDM_TINY_ORDER];

	EACH_SET for (int type = 0; type < 4; type++) for (int m = 2; m <= 3 * CDM_TINY_ORDER; m++)
	{
		int row = 1 + (int)below((uint32_t)m - 1);

		if (m > CDM_TINY_ORDER && !thin_columns(type, m))
			break;

		make(&a, type, m, 1);
		put(&a, 0, 0, NAN);
		set->of[type].getrf(m, 1, a.p, a.ld, ipiv);
		cr_assert_eq(ipiv[0], 1);
		make(&a, type, m, 1);
		put(&a, row, 0, NAN);
		put(&a, 0, 0, 5);
		set->of[type].getrf(m, 1, a.p, a.ld, ipiv);
		cr_assert_eq(ipiv[0], 1);
		make(&a, type, m, 1);
		put(&a, 0, 0, 2.5), put(&a, row, 0, IS_COMPLEX(type) ? 1.5 + 1.5 * I : 2.75);
		cr_assert_eq(set->of[type].getrf(m, 1, a.p, a.ld, ipiv), 0);
		cr_assert_eq(ipiv[0], row + 1);
		for (int i = 0; i < m; i++)
			put(&a, i, 0, 0);
		cr_assert_eq(set->of[type].getrf(m, 1, a.p, a.ld, ipiv), 1);
		cr_assert_eq(ipiv[0], 1);
	}
}

/* A subnormal pivot divides, it has no reciprocal. */
Test(tiny_factor, getrf_small_pivots)
{
	static struct matrix a;
	const double small[] = {1e-40, 1e-310, 1e-40, 1e-310};
	int ipiv[2];

	EACH_SET for (int type = 0; type < 4; type++)
	{
		make(&a, type, 2, 2);
		put(&a, 0, 0, small[type]), put(&a, 1, 0, -small[type] / 2);
		put(&a, 0, 1, 1), put(&a, 1, 1, 1);
		cr_assert_eq(set->of[type].getrf(2, 2, a.p, a.ld, ipiv), 0);
		cr_assert_lt(cabsl(at(&a, 1, 0) + 0.5L), 1e-3);
		cr_assert_lt(cabsl(at(&a, 1, 1) - 1.5L), 1e-3);
	}
}

typedef void lapack_getrf(const int *, const int *, void *, const int *, int *, int *);

Test(tiny_factor, getrf_like_lapack)
{
	static struct matrix a;
	void *library = dlopen("liblapack.so.3", RTLD_NOW | RTLD_LOCAL);
	lapack_getrf *theirs[4];

	if (!library)
		cr_skip_test("no liblapack.so.3");
	theirs[CDM_TINY_D] = (lapack_getrf *)dlsym(library, "dgetrf_");
	theirs[CDM_TINY_Z] = (lapack_getrf *)dlsym(library, "zgetrf_");
	cr_assert(theirs[CDM_TINY_D] && theirs[CDM_TINY_Z]);
	EACH_SET for (int round = 0; round < 1000; round++)
	{
		int type = below(2) ? CDM_TINY_D : CDM_TINY_Z, blocks = set->tall[type] && round % 20 == 0;
		int m = blocks ? 100 + size() % 28 : size(), n = size(), info, steps = m < n ? m : n;
		int ours[CDM_TINY_ORDER], want[CDM_TINY_ORDER], ld;
		char *copy;

		make(&a, type, m, n);
		ld = (int)a.ld;
		copy = malloc(a.watched);
		memcpy(copy, a.window, a.watched);
		theirs[type](&m, &n, copy + (a.p - a.window), &ld, want, &info);
		cr_assert_eq(set->of[type].getrf(m, n, a.p, a.ld, ours), info);
		cr_assert_eq(memcmp(ours, want, sizeof(int) * (size_t)steps), 0);
		free(copy);
	}
}

/* ---- potrf ---- */

/* The named triangle of a positive definite matrix; the other is NaN. */
static void make_positive(struct matrix *a, int type, int n, char uplo)
{
	static num g[CDM_TINY_BLOCKS * CDM_TINY_BLOCKS];

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

	snprintf(what, sizeof(what), "%s %cpotrf %c %d, bad %d", set->name, types[type], uplo, n, bad);
	make_positive(&a, type, n, uplo);
	if (bad)
		put(&a, bad - 1, bad - 1, pivot);
	before(1, (struct matrix *[]){&a});
	info = set->of[type].potrf(letter(uplo), n, a.p, a.ld);
	no_exceptions(what);
	untouched(&a, uplo, what);
	cr_assert_eq(info, bad, "%s: info = %d", what, info);
	check_root(&a, uplo, bad ? bad - 1 : n, what);
}

Test(tiny_factor, potrf)
{
	EACH_SET for (int type = 0; type < 4; type++) for (int n = 1; n <= CDM_TINY_ORDER; n++) for (int round = 0;
												     round < 4; round++)
	{
		check_potrf(type, "LU"[round & 1], n, 0, 0);
		check_potrf(type, "LU"[round & 1], n, 1 + (int)below((uint32_t)n),
			    (num[]){-1, NAN, 0, -INFINITY}[round]);
	}
}

/* The squares of these matrices' elements are no numbers: nothing but the elements is multiplied. */
Test(tiny_factor, potrf_scales)
{
	static struct matrix a;
	const int most[] = {35, 300, 35, 300};

	EACH_SET for (int type = 0; type < 4; type++) for (int round = 0; round < 40; round++)
	{
		int n = 1 + (int)below(2 * CDM_TINY_ORDER), power = (int)below(2 * (uint32_t)most[type]) - most[type];
		long double scale = powl(10, power);
		char uplo = "LU"[round & 1], what[80];

		snprintf(what, sizeof(what), "%s %cpotrf %c %d, 1e%d", set->name, types[type], uplo, n, power);
		make(&a, type, n, n);
		for (int j = 0; j < n; j++)
			for (int i = 0; i < n; i++)
				put(&a, i, j, scale * (i == j ? 2 : 1));
		before(1, (struct matrix *[]){&a});
		cr_assert_eq(set->of[type].potrf(uplo, n, a.p, a.ld), 0, "%s", what);
		no_exceptions(what);
		check_root(&a, uplo, n, what);
	}
}

/* Matrices of several blocks. */
Test(tiny_factor, potrf_blocks)
{
	EACH_SET for (int type = 0; type < 4; type++) for (int round = 0; round < 12; round++)
	{
		int n = round ? CDM_TINY_ORDER + 1 + (int)below(3 * CDM_TINY_ORDER) : CDM_TINY_BLOCKS;

		check_potrf(type, "LU"[round & 1], n, 0, 0);
		check_potrf(type, "LU"[round & 1], n, 1 + (int)below((uint32_t)n), round & 2 ? -1 : NAN);
	}
}

/* Pivots that have no reciprocal. */
Test(tiny_factor, potrf_small)
{
	static struct matrix a;
	const double small[] = {1e-41, 1e-311, 1e-41, 1e-311};

	EACH_SET for (int type = 0; type < 4; type++) for (int u = 0; u < 2; u++)
	{
		make(&a, type, 2, 2);
		put(&a, 0, 0, 4 * small[type]), put(&a, 1, 0, 2 * small[type]), put(&a, 0, 1, 2 * small[type]);
		put(&a, 1, 1, 2 * small[type]);
		cr_assert_eq(set->of[type].potrf("LU"[u], 2, a.p, a.ld), 0);
		cr_assert_lt(cabsl(at(&a, 0, 0) - 2 * sqrtl(small[type])), 1e-3L * sqrtl(small[type]));
		cr_assert_lt(cabsl(at(&a, u ? 0 : 1, u ? 1 : 0) - sqrtl(small[type])), 1e-3L * sqrtl(small[type]));
		cr_assert_lt(cabsl(at(&a, 1, 1) - sqrtl(small[type])), 1e-3L * sqrtl(small[type]));
	}
}
