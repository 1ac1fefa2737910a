/* syrk, herk: panels of rows, whose diagonal blocks are computed beside C. */
#pragma once

/* Rows [lo, hi) of a column: c = t + beta c. */
FN void merge_column(E *c, const E *t, int lo, int hi, E beta)
{
	int i = lo;

	for (; i + VL <= hi; i += VL) {
		V r = v_load(t + i);

		if (!e_is0(beta))
			r = v_plus(r, v_load(c + i), beta);
		v_store(c + i, r);
	}
	for (; i < hi; i++) {
		E r = t[i];

		if (!e_is0(beta))
			r = e_plus(r, c[i], beta);
		c[i] = r;
	}
}

/* Vectors of a panel at most: what is above the diagonal is computed in vain. */
#define RANK_PANEL (REGISTERS == 16 ? PANEL_MAX : sizeof(T) == 4 ? 1 : 2)
#define RANK_ROWS (RANK_PANEL * VL)

FN int rank_vectors(int vectors)
{
	return RANK_PANEL == PANEL_MAX ? panel_vectors(vectors) : min_(vectors, RANK_PANEL);
}

/* The diagonal block of a panel: computed beside C, then its triangle is added there. */
FN void rank_diagonal(int P, struct product *g, E *c, ptrdiff_t ldc, int rows, bool lower, bool hermitian)
{
	E beta = g->beta, square[RANK_ROWS * RANK_ROWS];
	int beta_is = g->beta_is;

	g->beta_is = ZERO;
	product(P, g, square, rows, rows, rows);
	g->beta_is = beta_is;
	for (int j = 0; j < rows; j++, c += ldc) {
		merge_column(c, square + j * rows, lower ? j : 0, lower ? rows : j + 1, beta);
		if (hermitian)
			c[j] = e_real(c[j]);
	}
}

static __attribute__((noinline)) void scale_triangle(E *c, ptrdiff_t ldc, int n, bool lower, bool hermitian, E beta)
{
	if (e_is1(beta))
		return;
	for (int j = 0; j < n; j++, c += ldc) {
		scale_column(c + (lower ? j : 0), lower ? n - j : j + 1, beta);
		if (hermitian)
			c[j] = e_real(c[j]);
	}
}

/* The triangle that is written, and what of. */
struct rank {
	struct product g;
	bool lower, hermitian;
	int n;
	const E *a;
	ptrdiff_t lda;
	E *c;
	ptrdiff_t ldc;
};

/* In panels of `most` vectors at most. */
FN void rank_panels(struct rank *r, E *packed, int most)
{
	struct product *g = &r->g;

	for (int i = 0, rows; i < r->n; i += rows) {
		int P = min_(rank_vectors(vectors_of(r->n - i)), most), first, beside;
		E *c = r->c + i;

		rows = min_(P * VL, r->n - i);
		first = r->lower ? 0 : i + rows;
		beside = r->lower ? i : r->n - i - rows;
		panel_of(g, r->a, r->lda, i, P, rows, packed);
		g->b = r->a + i * g->bcs;
		rank_diagonal(P, g, c + i * r->ldc, r->ldc, rows, r->lower, r->hermitian);
		g->b = r->a + first * g->bcs;
		if (beside > 0)
			product(P, g, c + first * r->ldc, r->ldc, rows, beside);
	}
}

static __attribute__((noinline)) void rank_packed(struct rank *r)
{
	E packed[RANK_ROWS * CAP];

	rank_panels(r, packed, RANK_PANEL);
}

static __attribute__((noinline)) void rank_packed_long(struct rank *r)
{
	E packed[PACKED_LONG];

	rank_panels(r, packed, long_panel(r->g.k));
}

static void rank_few(bool lower, bool trans, bool hermitian, int n, int k, E alpha, const E *a, ptrdiff_t lda, E beta,
		     E *c, ptrdiff_t ldc)
{
	struct rank r = {.g = {.k = k,
			       .as = lda,
			       .brs = trans ? 1 : lda,
			       .bcs = trans ? lda : 1,
			       .alpha = alpha,
			       .beta = beta,
			       .alpha_is = kind_of(alpha),
			       .beta_is = kind_of(beta)},
			 .lower = lower,
			 .hermitian = hermitian,
			 .n = n,
			 .a = a,
			 .lda = lda,
			 .c = c,
			 .ldc = ldc};

	r.g.conj = conj_set(hermitian && trans, hermitian && !trans);
	if (e_is0(alpha))
		scale_triangle(c, ldc, n, lower, hermitian, beta);
	else if (!trans)
		rank_panels(&r, NULL, RANK_PANEL);
	else if (k <= CAP)
		rank_packed(&r);
	else
		rank_packed_long(&r);
}

/* Columns of op(A) by the CDM_TINY_LONG. */
static void rank_k(bool lower, bool trans, bool hermitian, int n, int k, E alpha, const E *a, ptrdiff_t lda, E beta,
		   E *c, ptrdiff_t ldc)
{
	for (int some; k > 0; k -= some, a += some * (trans ? 1 : lda), beta = e_one()) {
		some = min_(k, CDM_TINY_LONG);
		rank_few(lower, trans, hermitian, n, some, alpha, a, lda, beta, c, ldc);
	}
}

void NAME(syrk)(int uplo, int trans, int n, int k, const void *alpha, const void *a, ptrdiff_t lda, const void *beta,
		void *c, ptrdiff_t ldc)
{
	NARROW(!COMPLEX && !is_letter(trans, 'N') && max_(n, k) <= VL / 2, syrk, uplo, trans, n, k, alpha, a, lda, beta,
	       c, ldc)
	rank_k(is_letter(uplo, 'L'), !is_letter(trans, 'N'), false, n, k, *(const E *)alpha, a, lda, *(const E *)beta,
	       c, ldc);
}

#if COMPLEX
void NAME(herk)(int uplo, int trans, int n, int k, const void *alpha, const void *a, ptrdiff_t lda, const void *beta,
		void *c, ptrdiff_t ldc)
{
	rank_k(is_letter(uplo, 'L'), !is_letter(trans, 'N'), true, n, k, e_from_real(*(const T *)alpha), a, lda,
	       e_from_real(*(const T *)beta), c, ldc);
}
#endif
