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

FN V active_lanes(const struct elimination *s, int v) { return v_bits(s->active >> (v * LANES)); }

/* The place of column j's pivot, as i?amax finds it: the first of the largest, the first of all where that is NaN. */
FN int pivot_place(const struct elimination *s, const E *column, int j)
{
	T first = e_abs1(column[s->row[j]]);
	V most = v_zero();
	uint64_t equal = 0;
	int place = s->m;

	if (first != first)
		return j;
	for (int v = 0; v < s->vectors; v++)
		most = v_max(v_and(v_abs1(v_load(column + v * VL)), active_lanes(s, v)), most);
	most = v_set1(v_hmax(most));
	for (int v = 0; v < s->vectors; v++)
		equal |= v_eqbits(v_abs1(v_load(column + v * VL)), most) << (v * LANES);
	for (equal &= s->active; equal; equal &= equal - 1)
		place = min_(place, s->place[__builtin_ctzll(equal) / PER]);
	return place;
}

FN void exchange(struct elimination *s, int j, int with)
{
	int up = s->row[with], down = s->row[j];

	s->row[j] = (unsigned char)up;
	s->row[with] = (unsigned char)down;
	s->place[up] = (unsigned char)j;
	s->place[down] = (unsigned char)with;
	s->active &= ~((((uint64_t)1 << PER) - 1) << (up * PER));
}

static __attribute__((noinline)) void divide_column(E *column, int rows, E by)
{
	for (int i = 0; i < rows; i++)
		column[i] = e_div(column[i], by);
}

/* The column's active rows become multipliers, the others zero. */
FN void multipliers(const struct elimination *s, E *column, E pivot)
{
	bool scaled = !e_is0(pivot);
	E by = e_from_real(1);

	if (scaled && !e_safe(pivot))
		divide_column(column, s->m, pivot);
	else if (scaled)
		by = e_recip(pivot);
	for (int v = 0; v < s->vectors; v++) {
		V l = v_load(column + v * VL);

		v_store(column + v * VL, v_and(COMPLEX && e_is1(by) ? l : v_mul(l, b_set(by)), active_lanes(s, v)));
	}
}

FN void eliminate(const struct elimination *s, int j, E *a, ptrdiff_t lda)
{
	const E *l = s->w + j * s->ld;
	int up = s->row[j];

	for (int c = j + 1; c < s->n; c++) {
		E *w = s->w + c * s->ld;
		B u = b_load(w + up);

		a[j + c * lda] = w[up];
		for (int v = 0; v < s->vectors; v++)
			v_store(w + v * VL, v_msub(v_load(w + v * VL), v_load(l + v * VL), u));
	}
}

int NAME(getrf)(int m, int n, void *a, ptrdiff_t lda, int *ipiv)
{
	E w[CAP * CAP], *to = a;
	int steps = min_(m, n), info = 0;
	struct elimination s = {.w = w, .ld = vectors_of(m) * VL, .m = m, .n = n, .vectors = vectors_of(m),
				.active = ~(uint64_t)0 >> (64 - m * PER)};

	pack(w, s.ld, a, lda, m, n);
	for (int i = 0; i < m; i++)
		s.row[i] = s.place[i] = (unsigned char)i;
	for (int j = 0; j < steps; j++) {
		E *column = w + j * s.ld, pivot;
		int with = pivot_place(&s, column, j);

		exchange(&s, j, with);
		ipiv[j] = with + 1;
		pivot = column[s.row[j]];
		to[j + j * lda] = pivot;
		if (e_is0(pivot) && !info)
			info = j + 1;
		multipliers(&s, column, pivot);
		eliminate(&s, j, to, lda);
	}
	for (int j = 0; j < steps; j++)
		for (int i = j + 1; i < m; i++)
			to[i + j * lda] = w[s.row[i] + j * s.ld];
	return info;
}
