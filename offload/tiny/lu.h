/* getrf: right-looking elimination on a packed copy.
 *
 * Rows of the copy never change places: `row` and `place` say which row stands where. A pivot's row is final when it is
 * chosen, and goes out to A at once; it is no longer `active` then, and its multiplier is zero. */
#pragma once

#define PER (1 + COMPLEX) /* lanes of an element */

struct elimination {
	E *w; /* columns of whole vectors, `ld` apart */
	ptrdiff_t ld;
	int m, n, vectors;
	uint64_t active; /* a bit for each lane */
	unsigned char row[CAP], place[CAP];
};

FN V active_lanes(const struct elimination *s, int v)
{
	return v_bits(s->active >> (v * LANES));
}

/* The row of column j's pivot, as i?amax finds it: that of the first place among the largest, or of the first of all
 * where that is NaN. */
FN int pivot_row(const int W, const struct elimination *s, const E *column, int j)
{
	T first = e_abs1(column[s->row[j]]);
	V most = v_zero();
	uint64_t equal = 0;
	int best;

	if (first != first)
		return s->row[j];
	UNROLL for (int v = 0; v < W; v++) most =
		v_max(v_and(v_abs1(v_load(column + v * VL)), active_lanes(s, v)), most);
	most = v_set1(v_hmax(most));
	UNROLL for (int v = 0; v < W; v++) equal |= v_eqbits(v_abs1(v_load(column + v * VL)), most) << (v * LANES);
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

static __attribute__((noinline)) void divide_column(E *column, int rows, E by)
{
	for (int i = 0; i < rows; i++)
		column[i] = e_div(column[i], by);
}

/* The column's active rows become multipliers, the others zero. */
FN void multipliers(const int W, const struct elimination *s, E *column, E pivot)
{
	bool scaled = e_safe(pivot);
	B by = b_set(e_zero());

	if (scaled)
		by = b_set(e_recip(pivot));
	else if (!e_is0(pivot))
		divide_column(column, s->m, pivot);
	UNROLL for (int v = 0; v < W; v++)
	{
		V l = v_load(column + v * VL);

		if (scaled)
			l = v_mul(l, by);
		v_store(column + v * VL, v_and(l, active_lanes(s, v)));
	}
}

/* Place j of the pivot's row is final in all columns to the right; the active rows lose their multiples of it. */
FN void eliminate(const int W, const struct elimination *s, int j, int row, E *a, ptrdiff_t lda)
{
	const E *l = s->w + j * s->ld;

	for (int c = j + 1; c < s->n; c++) {
		E *w = s->w + c * s->ld, up = w[row];
		B u = b_load(w + row);

		UNROLL for (int v = 0; v < W; v++)
			v_store(w + v * VL, v_msub(v_load(w + v * VL), v_load(l + v * VL), u));
		a[j + c * lda] = up;
	}
}

/* W vectors in a column. */
FN int factor_lu(const int W, struct elimination *s, E *a, ptrdiff_t lda, int *ipiv)
{
	int steps = min_(s->m, s->n), info = 0;

	for (int j = 0; j < steps; j++) {
		E *column = s->w + j * s->ld;
		int row = pivot_row(W, s, column, j);
		E pivot = column[row];

		ipiv[j] = exchange(s, j, row) + 1;
		a[j + j * lda] = pivot;
		if (e_is0(pivot) && !info)
			info = j + 1;
		multipliers(W, s, column, pivot);
		eliminate(W, s, j, row, a, lda);
	}
	return info;
}

static int factor_lu_1(struct elimination *s, E *a, ptrdiff_t lda, int *ipiv)
{
	return factor_lu(1, s, a, lda, ipiv);
}
static int factor_lu_2(struct elimination *s, E *a, ptrdiff_t lda, int *ipiv)
{
	return factor_lu(2, s, a, lda, ipiv);
}
static int factor_lu_3(struct elimination *s, E *a, ptrdiff_t lda, int *ipiv)
{
	return factor_lu(3, s, a, lda, ipiv);
}
static int factor_lu_4(struct elimination *s, E *a, ptrdiff_t lda, int *ipiv)
{
	return factor_lu(4, s, a, lda, ipiv);
}
static int factor_lu_any(struct elimination *s, E *a, ptrdiff_t lda, int *ipiv)
{
	return factor_lu(s->vectors, s, a, lda, ipiv);
}

int NAME(getrf)(int m, int n, void *a, ptrdiff_t lda, int *ipiv)
{
	static int (*const factor[])(struct elimination *, E *, ptrdiff_t, int *) = {factor_lu_1, factor_lu_2,
										     factor_lu_3, factor_lu_4};
	int vectors = vectors_of(m), info;
	E w[CAP * CAP], *to = a;
	struct elimination s;

	s.w = w;
	s.ld = vectors * VL;
	s.m = m;
	s.n = n;
	s.vectors = vectors;
	s.active = ~(uint64_t)0 >> (64 - m * PER);
	for (int i = 0; i < m; i++)
		s.row[i] = s.place[i] = (unsigned char)i;
	pack(w, s.ld, a, lda, m, n);
	info = (vectors <= 4 ? factor[vectors - 1] : factor_lu_any)(&s, to, lda, ipiv);
	for (int j = 0; j < min_(m, n); j++)
		for (int i = j + 1; i < m; i++)
			to[i + j * lda] = w[s.row[i] + j * s.ld];
	return info;
}
