/* getrf: right-looking elimination on a packed copy, of the first columns; the rest of wide matrices is solved with L.
 *
 * Rows of the copy never change places: `row` and `place` say which row stands where. A pivot's row is final when it is
 * chosen, and goes out to A at once; it is no longer `active` then, and its multiplier is zero. */
#pragma once

#define PER (1 + COMPLEX) /* lanes of an element */
/* Elements of the copy: its columns are whole vectors, an even number of them from 4 on. */
#define LU_ROOM (sizeof(E) == 16 ? CDM_TINY_AREA * 3 / 2 : CDM_TINY_AREA * 2)
_Static_assert(CAP *PER <= 64, "a bit of `active` for each lane");

struct elimination {
	E *w;            /* columns of whole vectors */
	int m, n;        /* of the copy; m <= n, or all columns are in it */
	uint64_t active; /* a bit for each lane */
	unsigned char row[CAP], place[CAP];
};

/* x, a vector v of the copy, with zeros in the rows that are not active. */
FN V active_lanes(const struct elimination *s, int v, V x)
{
	return v_keep(x, s->active >> (v * LANES));
}

/* The row of column j's pivot, as i?amax finds it: that of the first place among the largest, or of the first of all
 * where that is NaN. */
FN int pivot_row(const int W, const int G, const struct elimination *s, const E *column, int j)
{
	T first = e_abs1(column[s->row[j]]);
	V most = v_zero();
	uint64_t equal = 0;
	int best;

	if (first != first)
		return s->row[j];
	EACH_VECTOR(v, 0) most = v_max(active_lanes(s, v, v_abs1(v_load(column + v * VL))), most);
	most = v_set1(v_hmax(most));
	EACH_VECTOR(v, 0) equal |= v_eqbits(v_abs1(v_load(column + v * VL)), most) << (v * LANES);
	equal &= s->active;
	best = __builtin_ctzll(equal) / PER;
	while (__builtin_expect((equal &= equal - 1) != 0, false)) {
		int row = __builtin_ctzll(equal) / PER;

		best = s->place[row] < s->place[best] ? row : best;
	}
	return best;
}

/* The row goes to place j; says where it came from. */
FN int exchange(struct elimination *s, int j, int row)
{
	int with = s->place[row], down = s->row[j];

	s->row[j] = (unsigned char)row;
	s->row[with] = (unsigned char)down;
	s->place[row] = (unsigned char)j;
	s->place[down] = (unsigned char)with;
	s->active &= ~((((uint64_t)1 << PER) - 1) << (row * PER));
	return with;
}

/* The column's active rows become multipliers, the others zero. A single group is returned in l. */
FN void multipliers(const int W, const int G, const struct elimination *s, E *column, E pivot, V l[8])
{
	bool scaled = e_safe(pivot);
	B by = b_set(e_zero());

	if (scaled)
		by = b_set(e_recip(pivot));
	else if (!e_is0(pivot))
		divide_column(column, s->m, pivot);
	EACH_VECTOR(v, 0)
	{
		V x = v_load(column + v * VL);

		if (scaled)
			x = v_mul(x, by);
		x = active_lanes(s, v, x);
		v_store(column + v * VL, x);
		if (G == 1)
			l[v] = x;
	}
}

/* Place j of the pivot's row is final in all columns to the right; the active rows lose their multiples of it. */
FN void eliminate(const int W, const int G, const struct elimination *s, int j, int row, const V l[8], E *a,
		  ptrdiff_t lda)
{
	const E *column = s->w + j * (G * W * VL);

	for (int c = j + 1; c < s->n; c++) {
		E *w = s->w + c * (G * W * VL), up = w[row];
		B u = b_load(w + row);

		EACH_VECTOR(v, 0)
		v_store(w + v * VL, v_msub(v_load(w + v * VL), G == 1 ? l[v] : v_load(column + v * VL), u));
		a[j + c * lda] = up;
	}
}

FN int factor_lu(const int W, const int G, struct elimination *s, E *a, ptrdiff_t lda, int *ipiv)
{
	int steps = min_(s->m, s->n), info = 0;

	for (int j = 0; j < steps; j++) {
		E *column = s->w + j * (G * W * VL);
		int row = pivot_row(W, G, s, column, j);
		E pivot = column[row];
		V l[8];

		ipiv[j] = exchange(s, j, row) + 1;
		a[j + j * lda] = pivot;
		if (e_is0(pivot) && !info)
			info = j + 1;
		multipliers(W, G, s, column, pivot, l);
		eliminate(W, G, s, j, row, l, a, lda);
	}
	return info;
}

/* For columns of `vectors`, a number that whole_vectors() returns. */
static int factor_lu_of(int vectors, struct elimination *s, E *a, ptrdiff_t lda, int *ipiv)
{
	if (vectors == 1)
		return factor_lu(1, 1, s, a, lda, ipiv);
	if (vectors == 2 || MAX_VECTORS == 2)
		return factor_lu(2, 1, s, a, lda, ipiv);
	if (vectors == 3)
		return factor_lu(3, 1, s, a, lda, ipiv);
	if (vectors == 4 || MAX_VECTORS == 4)
		return factor_lu(4, 1, s, a, lda, ipiv);
	if (vectors == 6 && MAX_VECTORS == 8)
		return factor_lu(6, 1, s, a, lda, ipiv);
	if (MAX_VECTORS == 8)
		return factor_lu(8, 1, s, a, lda, ipiv);
	return factor_lu(2, vectors / 2, s, a, lda, ipiv);
}

/* The columns that are not in the copy: P U = L^-1 of what they were, in the order of the rows that elimination has found. */
static void rest_of_rows(const struct elimination *s, E *a, ptrdiff_t lda, int columns)
{
	const E one = e_one();
	E *rest = a + s->n * lda;

	for (int c = 0; c < columns; c++) {
		E *column = rest + c * lda, was[CAP];

		for (int i = 0; i < s->m; i++)
			was[i] = column[i];
		for (int i = 0; i < s->m; i++)
			column[i] = was[s->row[i]];
	}
	NAME(trsm)('L', 'L', 'N', 'U', s->m, columns, &one, a, lda, rest, lda);
}

/* Elements `from` to m - 1 of a column of the copy go where they belong. */
FN void in_order_of(const unsigned char *restrict row, int from, int m, E *restrict to, const E *restrict column)
{
	ptrdiff_t i = from;

	for (; i + 4 <= m; i += 4)
		UNROLL for (int u = 0; u < 4; u++) to[i + u] = column[row[i + u]];
	for (; i < m; i++)
		to[i] = column[row[i]];
}

/* The first s->n columns. Apart, for its memory's sake. */
static __attribute__((noinline)) int first_columns(struct elimination *s, E *a, ptrdiff_t lda, int *ipiv)
{
	int vectors = whole_vectors(s->m), ld = vectors * VL, info;
	E w[LU_ROOM];

	s->w = w;
	pack(w, ld, a, lda, s->m, s->n);
	info = factor_lu_of(vectors, s, a, lda, ipiv);
	for (int j = 0; j < min_(s->m, s->n); j++)
		in_order_of(s->row, j + 1, s->m, a + j * lda, w + j * ld);
	return info;
}

static const unsigned char in_order[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
					 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
_Static_assert(sizeof(in_order) == CAP, "a number for each row");

/* Of up to CAP rows. */
static int getrf_packed(int m, int n, E *a, ptrdiff_t lda, int *ipiv)
{
	int fit = (int)LU_ROOM / (whole_vectors(m) * VL);
	struct elimination s = {
		.m = m, .n = min_(n, min_(fit, CDM_TINY_AREA / m)), .active = ~(uint64_t)0 >> (64 - m * PER)};

	__builtin_memcpy(s.row, in_order, CAP);
	__builtin_memcpy(s.place, in_order, CAP);
	int info = first_columns(&s, a, lda, ipiv);
	if (s.n < n)
		rest_of_rows(&s, a, lda, n - s.n);
	return info;
}

#if !COMPLEX && REGISTERS == 32
FN void exchange_rows(int columns, E *a, ptrdiff_t lda, int steps, const int *ipiv)
{
	for (int c = 0; c < columns; c++, a += lda)
		for (int i = 0; i < steps; i++) {
			E up = a[ipiv[i] - 1];

			a[ipiv[i] - 1] = a[i];
			a[i] = up;
		}
}

/* The left columns, then, with what they say, the right ones. */
static __attribute__((noinline)) int getrf_halves(int m, int n, E *a, ptrdiff_t lda, int *ipiv)
{
	const E one = e_one(), minus = e_from_real(-1);
	int left = (min_(m, n) / 2 + CDM_TINY_THIN - 1) / CDM_TINY_THIN * CDM_TINY_THIN, right = n - left;
	E *b = a + left * lda;
	int info = NAME(getrf)(m, left, a, lda, ipiv), more;

	exchange_rows(right, b, lda, left, ipiv);
	NAME(trsm)('L', 'L', 'N', 'U', left, right, &one, a, lda, b, lda);
	NAME(gemm)('N', 'N', m - left, right, left, &minus, a + left, lda, b, lda, &one, b + left, lda);
	more = NAME(getrf)(m - left, right, b + left, lda, ipiv + left);
	exchange_rows(left, a + left, lda, min_(m - left, right), ipiv + left);
	for (int i = left; i < min_(m, n); i++)
		ipiv[i] += left;
	return info ? info : more ? more + left : 0;
}
#else
#define getrf_halves(...) 0
#endif

int NAME(getrf)(int m, int n, void *a, ptrdiff_t lda, int *ipiv)
{
	if (IN_REGISTERS(m, n))
		return getrf_in_registers(m, n, a, lda, ipiv);
	if (IS_TALL(m, n))
		return getrf_tall(m, n, a, lda, ipiv);
	if (m > CAP)
		return getrf_halves(m, n, a, lda, ipiv);
	NARROW(m <= VL / 2 || (!COMPLEX && m <= VL && n <= VL), getrf, m, n, a, lda, ipiv)
	return getrf_packed(m, n, a, lda, ipiv);
}
