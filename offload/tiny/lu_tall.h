/* getrf of few columns and any number of rows, in place: each step is one pass over what is right of the pivot's column, which
 * finds the next pivot on its way. */
#pragma once

static __attribute__((noinline)) void divide_column(E *column, int rows, E by)
{
	for (int i = 0; i < rows; i++)
		column[i] = e_div(column[i], by);
}

#if !COMPLEX && REGISTERS == 32
#define IS_TALL(m, n) ((m) > 2 * VL && (n) <= CDM_TINY_THIN)

/* The largest of each lane so far, and the row where its vector begins: the first of equal ones. */
struct largest {
	V most, where;
};

FN void look_at(struct largest *s, V x, uint64_t bits, V row)
{
	uint64_t more = v_gtbits(v_abs(x), s->most) & bits;

	s->most = v_replace(s->most, bits, v_max(v_abs(x), s->most)); /* sooner than by what is more */
	s->where = v_replace(s->where, more, row);
}

FN int row_of_largest(const struct largest *s)
{
	T where[VL];
	uint64_t equal = v_eqbits(s->most, v_set1(v_hmax(s->most)));
	int lane = __builtin_ctzll(equal), best;

	v_store(where, s->where);
	best = (int)where[lane] + lane;
	while (__builtin_expect((equal &= equal - 1) != 0, false)) {
		lane = __builtin_ctzll(equal);
		best = min_(best, (int)where[lane] + lane);
	}
	return best;
}

/* As i?amax finds it: the first of the largest of m elements, or the very first where that is NaN. */
static int first_largest(int m, const E *a)
{
	struct largest s = {v_set1(-1), v_zero()};
	const V step = v_set1(VL);
	V row = v_zero();
	int i = 0;

	for (; i + VL <= m; i += VL, row += step)
		look_at(&s, v_load(a + i), ~(uint64_t)0, row);
	if (i < m)
		look_at(&s, v_loadm(a + i, v_mask(m - i)), v_mask(m - i), row);
	return a[0] != a[0] ? 0 : row_of_largest(&s);
}

/* Which rows of a vector a step changes: all; those below the pivot; or those up to the matrix's last, beyond which nothing
 * may be touched. */
enum rows { ALL, BELOW, UP_TO };

FN V load_of(enum rows kind, const E *at, uint64_t bits)
{
	return kind == UP_TO ? v_loadm(at, (VM)bits) : v_load(at);
}

FN void store_of(enum rows kind, E *at, V v, uint64_t bits)
{
	if (kind == UP_TO)
		v_storep(at, v, __builtin_popcountll(bits));
	else
		v_store(at, v);
}

/* One vector of rows: multipliers, and R columns to the right. */
FN void tall_rows(const int R, const enum rows kind, E *at, ptrdiff_t lda, uint64_t bits, B by,
		  const B u[CDM_TINY_THIN], struct largest *s, V row)
{
	V was = load_of(kind, at, bits),
	  l = (kind == BELOW ? v_keep(was, bits) : was) * by; /* nothing overflows above */

	store_of(kind, at, kind == BELOW ? v_replace(was, bits, l) : l, bits);
	UNROLL for (int c = 1; c <= R; c++)
	{
		V x = v_fnma_in(bits, l, u[c - 1], load_of(kind, at + c * lda, bits));

		store_of(kind, at + c * lda, x, bits);
		if (c == 1)
			look_at(s, x, bits, row);
	}
}

struct tall {
	E *a;
	ptrdiff_t lda;
	int m, n;
};

/* Rows j and p change places after the pass, which has left row p as if it were below itself: what it is now follows from what row j
 * was. So no vector is loaded where an element has just been stored. */
FN void exchange_after(const struct tall *t, int j, int p, const E up[CDM_TINY_THIN], const E down[CDM_TINY_THIN], E by)
{
	E l = down[j] * by;

	for (int c = 0; c < t->n; c++) {
		E *at = t->a + c * t->lda;

		at[j] = up[c];
		at[p] = c < j ? down[c] : c == j ? l : t_fnma(l, up[c], down[c]);
	}
}

/* The largest of a column's rows from `from` on, by what the pass has seen, of which row p is not true: its element is. */
FN int next_pivot(const E *column, int from, int m, int p, const struct largest *s)
{
	int best = row_of_largest(s);
	T top = t_abs(column[best]), here = t_abs(column[p]);

	if (column[from] != column[from])
		return from;
	if (p < from)
		return best;
	if (best == p || best < from)
		return from + first_largest(m - from, column + from);
	return here > top || (here == top && p < best) ? p : best;
}

/* Step j, whose pivot is in row p, with R columns to the right. Returns the row of the next pivot. */
FN int tall_step(const int R, const struct tall *t, int j, int p)
{
	struct largest s = {v_set1(-1), v_zero()};
	const V step = v_set1(VL);
	int i = (j + 1) / VL * VL;
	E *at = t->a + j * t->lda, up[8], down[8], pivot = at[p], by = e_one();
	V row = v_set1((T)i);
	B u[CDM_TINY_THIN];

	if (e_safe(pivot))
		by = e_recip(pivot);
	else if (!e_is0(pivot))
		divide_column(at + j, t->m - j, pivot);
	for (int c = 0; c < t->n; c++) {
		up[c] = c == j ? pivot : t->a[p + c * t->lda];
		down[c] = t->a[j + c * t->lda];
	}
	UNROLL for (int c = 0; c < R; c++) u[c] = b_load(at + p + (c + 1) * t->lda);
	tall_rows(R, BELOW, at + i, t->lda, ~(uint64_t)0 << (j + 1 - i), b_set(by), u, &s, row);
	for (i += VL, row += step; i + VL <= t->m; i += VL, row += step)
		tall_rows(R, ALL, at + i, t->lda, ~(uint64_t)0, b_set(by), u, &s, row);
	if (i < t->m)
		tall_rows(R, UP_TO, at + i, t->lda, v_mask(t->m - i), b_set(by), u, &s, row);
	if (p != j)
		exchange_after(t, j, p, up, down, by);
	else
		at[j] = pivot;
	if (R == 0)
		return 0;
	return next_pivot(at + t->lda, j + 1, t->m, p, &s);
}

static int tall_steps(int right, const struct tall *t, int j, int p)
{
#define STEP(R)                                                                                                        \
	case R:                                                                                                        \
		return tall_step(R, t, j, p)
	switch (right) {
		STEP(7);
		STEP(6);
		STEP(5);
		STEP(4);
		STEP(3);
		STEP(2);
		STEP(1);
	default:
		return tall_step(0, t, j, p);
	}
#undef STEP
}

/* For m > 2 VL and n <= CDM_TINY_THIN. */
static int getrf_tall(int m, int n, E *a, ptrdiff_t lda, int *ipiv)
{
	const struct tall t = {a, lda, m, n};
	int info = 0, p = first_largest(m, a);

	for (int j = 0; j < n; j++) {
		ipiv[j] = p + 1;
		if (e_is0(a[p + j * lda]) && !info)
			info = j + 1;
		p = tall_steps(n - 1 - j, &t, j, p);
	}
	return info;
}
#else
#define IS_TALL(m, n) false
#define getrf_tall(...) 0
#endif
