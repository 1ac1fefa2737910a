/* gemm, syrk, herk: panels of rows of C, each computed in tiles. */
#pragma once

enum { ZERO, ONE, ANY }; /* what a factor is */
/* Tiles that are only added to C have code of their own: there, additions do not take the multiplications' place. */
#define KNOW_ONE (REGISTERS == 32)

struct product {
	int k;
	const E *a; /* op(A): columns of `as`, rows next to each other */
	ptrdiff_t as;
	const E *b; /* op(B): element (l, j) at b + l brs + j bcs */
	ptrdiff_t brs, bcs;
	CONJ conj;
	E alpha, beta;
	int alpha_is, beta_is;
};

FN int kind_of(E x)
{
	return e_is0(x) ? ZERO : (COMPLEX || KNOW_ONE) && e_is1(x) ? ONE : ANY;
}

/* A column of a tile, and of what it is added to: P vectors. */
FN void load_column(const int P, const bool part, V v[PANEL_MAX], const E *at, int rows)
{
	UNROLL for (int p = 0; p < P; p++) v[p] = load_rows(P, part, p, rows, at);
}

FN void store_column(const int P, const bool part, const V v[PANEL_MAX], E *at, int rows)
{
	if (part)
		v_storep(at, v[0], rows);
	else
		UNROLL for (int p = 0; p < P; p++) v_store(at + row_of(P, p, rows), v[p]);
}

/* to = alpha acc + beta to */
FN void put_tile(const int P, const int NR, const bool part, const struct product *g, ACC acc[TILE_COLUMNS][PANEL_MAX],
		 E *to, ptrdiff_t ldt, int rows)
{
	VM mask = v_mask(part ? rows : VL);

	UNROLL for (int j = 0; j < NR; j++, to += ldt)
	{
		V r[PANEL_MAX];

		UNROLL for (int p = 0; p < P; p++)
		{
			E *at = to + row_of(P, p, rows);

			r[p] = acc_value(acc[j][p], g->conj);
			if (g->alpha_is == ANY)
				r[p] = v_mul(r[p], b_set(g->alpha));
			if (g->beta_is == ONE)
				r[p] += part ? v_loadm(at, mask) : v_load(at);
			else if (g->beta_is == ANY)
				r[p] = v_mac(r[p], part ? v_loadm(at, mask) : v_load(at), b_set(g->beta));
		}
		store_column(P, part, r, to, rows);
	}
}

/* to += alpha acc. What is loaded next to a masked store waits for it: all columns are loaded first. */
FN void add_tile(const int P, const int NR, const bool part, const struct product *g, ACC acc[TILE_COLUMNS][PANEL_MAX],
		 E *to, ptrdiff_t ldt, int rows)
{
	V c[TILE_COLUMNS][PANEL_MAX];

	UNROLL for (int j = 0; j < NR; j++)
	{
		load_column(P, part, c[j], to + j * ldt, rows);
		UNROLL for (int p = 0; p < P; p++)
		{
			V r = acc_value(acc[j][p], g->conj);

			if (g->alpha_is == ONE)
				c[j][p] += r;
			else
				c[j][p] = v_mac(c[j][p], r, b_set(g->alpha));
		}
		if (!part)
			store_column(P, part, c[j], to + j * ldt, rows);
	}
	if (part)
		UNROLL for (int j = 0; j < NR; j++) store_column(P, part, c[j], to + j * ldt, rows);
}

/* to[rows x NR] = alpha A B + beta to, with the first column of B at b. */
FN void product_tile(const int P, const int NR, const bool part, const struct product *g, const E *b, E *to,
		     ptrdiff_t ldt, int rows)
{
	ACC acc[TILE_COLUMNS][PANEL_MAX];

	tile(P, NR, part, acc, g->k, rows, g->a, g->as, b, g->brs, KNOW_ONE ? anew(g->bcs) : g->bcs);
	if (KNOW_ONE)
		ldt = anew(ldt);
	if (KNOW_ONE && g->beta_is == ONE)
		add_tile(P, NR, part, g, acc, to, ldt, rows);
	else
		put_tile(P, NR, part, g, acc, to, ldt, rows);
}

FN void product_panel(const int P, const bool part, const struct product *given, E *to, ptrdiff_t ldt, int rows,
		      int columns)
{
	const struct product copy = *given, *g = &copy; /* which stores to C cannot change */
	const E *b = g->b;
	int j = 0;

	for (; j + TILE_COLUMNS <= columns; j += TILE_COLUMNS, b += TILE_COLUMNS * g->bcs, to += TILE_COLUMNS * ldt)
		product_tile(P, TILE_COLUMNS, part, g, b, to, ldt, rows);
#define TILE(NR)                                                                                                       \
	case NR:                                                                                                       \
		product_tile(P, NR, part, g, b, to, ldt, rows);                                                        \
		break;
	switch (columns - j) {
		EACH_WIDTH(TILE)
	}
#undef TILE
}

/* to = alpha A B + beta to, for one panel of `rows` (at most P VL) and any number of columns. */
static void product(int P, const struct product *g, E *to, ptrdiff_t ldt, int rows, int columns)
{
	if (rows < VL)
		product_panel(1, true, g, to, ldt, rows, columns);
	else if (P == 1)
		product_panel(1, false, g, to, ldt, rows, columns);
	else if (P == 2)
		product_panel(2, false, g, to, ldt, rows, columns);
	else
		product_panel(3, false, g, to, ldt, rows, columns);
}

/* c = beta c, for `rows` elements. */
FN void scale_column(E *c, int rows, E beta)
{
	for (int i = 0; i < rows; i++)
		c[i] = e_is0(beta) ? e_zero() : e_mul(beta, c[i]);
}

static __attribute__((noinline)) void scale(E *c, ptrdiff_t ldc, int rows, int columns, E beta)
{
	if (e_is1(beta))
		return;
	for (int j = 0; j < columns; j++)
		scale_column(c + j * ldc, rows, beta);
}

/* Room for a panel's rows of op(A), where it is not A. Few calls need the larger one's stack. */
#define PACKED_SHORT (PANEL_ROWS * CAP)
#define PACKED_LONG ((REGISTERS == 16 ? PANEL_MAX : 1) * VL * CDM_TINY_LONG)

/* Vectors of a panel for which there is room, with k columns. */
FN int long_panel(int k)
{
	return REGISTERS == 16 ? PANEL_MAX : k <= CDM_TINY_LONG / 2 ? 2 : 1;
}

/* The panel of op(A) from row i on; packed is null where op(A) is A. */
FN void panel_of(struct product *g, const E *a, ptrdiff_t lda, int i, int P, int rows, E *packed)
{
	if (packed) {
		g->a = packed;
		g->as = P * VL;
		pack_transposed(packed, g->as, a + i * lda, lda, rows, g->k);
	} else {
		g->a = a + i;
	}
}

/* In panels of `most` vectors at most. */
FN void gemm_panels(struct product *g, int m, int n, const E *a, ptrdiff_t lda, E *c, ptrdiff_t ldc, E *packed,
		    int most)
{
	for (int i = 0, rows; i < m; i += rows) {
		int P = min_(panel_vectors(vectors_of(m - i)), most);

		rows = min_(P * VL, m - i);
		panel_of(g, a, lda, i, P, rows, packed);
		product(P, g, c + i, ldc, rows, n);
	}
}

static __attribute__((noinline)) void gemm_packed(struct product *g, int m, int n, const E *a, ptrdiff_t lda, E *c,
						  ptrdiff_t ldc)
{
	E packed[PACKED_SHORT];

	gemm_panels(g, m, n, a, lda, c, ldc, packed, PANEL_MAX);
}

static __attribute__((noinline)) void gemm_packed_long(struct product *g, int m, int n, const E *a, ptrdiff_t lda, E *c,
						       ptrdiff_t ldc)
{
	E packed[PACKED_LONG];

	gemm_panels(g, m, n, a, lda, c, ldc, packed, long_panel(g->k));
}

#define GEMM_PARAMETERS                                                                                                \
	int transa, int transb, int m, int n, int k, const void *alpha, const void *a, ptrdiff_t lda, const void *b,   \
		ptrdiff_t ldb, const void *beta, void *c, ptrdiff_t ldc
#define GEMM_ARGUMENTS transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc

FN struct product product_of(int transa, int transb, int k, const void *alpha, const E *a, ptrdiff_t lda, const E *b,
			     ptrdiff_t ldb, const void *beta)
{
	bool tb = !is_letter(transb, 'N');
	struct product g = {.k = k,
			    .a = a,
			    .as = lda,
			    .b = b,
			    .brs = tb ? ldb : 1,
			    .bcs = tb ? 1 : ldb,
			    .alpha = *(const E *)alpha,
			    .beta = *(const E *)beta};

	g.conj = conj_set(is_letter(transa, 'C'), is_letter(transb, 'C')); /* see CONJ in real.h */
	g.alpha_is = kind_of(g.alpha);
	g.beta_is = kind_of(g.beta);
	return g;
}

ALIKE void gemm_any(GEMM_PARAMETERS)
{
	bool ta = !is_letter(transa, 'N'), tb = !is_letter(transb, 'N');
	struct product g = product_of(transa, transb, k, alpha, a, lda, b, ldb, beta);

	if (g.alpha_is == ZERO)
		scale(c, ldc, m, n, g.beta);
	else if (ta && !tb && dots_are_cheaper(m, n, k))
		gemm_dots(m, n, k, a, lda, b, ldb, g.alpha, g.beta, c, ldc);
	else if (!ta)
		gemm_panels(&g, m, n, a, lda, c, ldc, NULL, PANEL_MAX);
	else if (k <= CAP)
		gemm_packed(&g, m, n, a, lda, c, ldc);
	else
		gemm_packed_long(&g, m, n, a, lda, c, ldc);
}

/* Of one vector of rows at most: the way through panels takes as long as the smallest of these products. */
ALIKE void gemm_low(GEMM_PARAMETERS)
{
	struct product g = product_of(transa, transb, k, alpha, a, lda, b, ldb, beta);

	if (m < VL)
		product_panel(1, true, &g, c, ldc, m, n);
	else
		product_panel(1, false, &g, c, ldc, m, n);
}

void NAME(gemm)(GEMM_PARAMETERS)
{
	bool ta = !is_letter(transa, 'N');

	NARROW(!COMPLEX && ta && max_(m, k) <= VL / 2, gemm, GEMM_ARGUMENTS)
	if (ta || m > VL || e_is0(*(const E *)alpha))
		gemm_any(GEMM_ARGUMENTS);
	else
		gemm_low(GEMM_ARGUMENTS);
}

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

FN void rank_k(bool lower, bool trans, bool hermitian, int n, int k, E alpha, const E *a, ptrdiff_t lda, E beta, E *c,
	       ptrdiff_t ldc)
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
