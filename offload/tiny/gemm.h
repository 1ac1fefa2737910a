/* gemm: by the shape of its operands. */
#pragma once

/* In panels of `most` vectors at most: one by one, but together where C is one tile wide. */
FN void gemm_panels(struct product *g, int m, int n, const E *a, ptrdiff_t lda, E *c, ptrdiff_t ldc, E *packed,
		    int most)
{
	bool together = !packed && n <= TILE_COLUMNS;

	for (int i = 0, rows; i < m; i += rows) {
		int vectors = vectors_of(m - i), P = min_(panel_vectors(vectors), most);

		rows = min_((together ? alike_vectors(vectors) : P) * VL, m - i);
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
		product_panels(1, true, &g, c, ldc, m, n);
	else
		product_panels(1, false, &g, c, ldc, m, n);
}

/* ---- few rows, many columns of A --------------------------------------------------------------------------
 *
 * Two columns share a vector, (a(0, l), a(0, l + 1), a(1, l), ...), so that no lane is idle; the two sums of a row are added
 * at the end. */
#if !COMPLEX && REGISTERS == 32
#define PAIRS_LEAST 8 /* k: fewer do not pay for the end */

/* tile() of one vector, with `rows` of at most half a vector. The elements of B's columns lie next to each other. */
FN void tile_pairs(const int NR, ACC acc[TILE_COLUMNS][PANEL_MAX], int k, int rows, const E *a, ptrdiff_t as,
		   const E *b, ptrdiff_t bcs)
{
	const E *b4 = b + 4 * bcs;
	int l = 0;

	UNROLL for (int j = 0; j < NR; j++) acc[j][0] = acc_zero();
	for (; l + 2 <= k; l += 2, a += 2 * as, b += 2, b4 += 2) {
		V v = v_interleave(a, a + as, rows);

		UNROLL for (int j = 0; j < NR; j++) acc[j][0] =
			v_fma(v, v_bcast_pair(j < 4 ? b + j * bcs : b4 + (j - 4) * bcs), acc[j][0]);
	}
	UNROLL for (int j = 0; j < NR; j++) acc[j][0] = v_neighbour_sums(acc[j][0]);
	if (l < k) {
		V v = v_loadm(a, v_mask(rows));

		UNROLL for (int j = 0; j < NR; j++) acc[j][0] =
			acc_mac(acc[j][0], v, j < 4 ? b + j * bcs : b4 + (j - 4) * bcs);
	}
}

FN void pairs_tile(const int NR, const struct product *g, const E *b, E *to, ptrdiff_t ldt, int rows)
{
	ACC acc[TILE_COLUMNS][PANEL_MAX];

	tile_pairs(NR, acc, g->k, rows, g->a, g->as, b, anew(g->bcs));
	finish_tile(1, NR, true, g, acc, to, ldt, rows);
}

ALIKE void gemm_pairs(GEMM_PARAMETERS)
{
	struct product g = product_of(transa, transb, k, alpha, a, lda, b, ldb, beta);
	const E *from = b;
	E *to = c;

	for (; n > TILE_COLUMNS; n -= TILE_COLUMNS, from += TILE_COLUMNS * g.bcs, to += TILE_COLUMNS * ldc)
		pairs_tile(TILE_COLUMNS, &g, from, to, ldc, m);
#define TILE(NR)                                                                                                       \
	case NR:                                                                                                       \
		pairs_tile(NR, &g, from, to, ldc, m);                                                                  \
		break;
	switch (n) {
		EACH_WIDTH(TILE)
		TILE(TILE_COLUMNS)
	}
#undef TILE
}
#define IN_PAIRS(m, k, transb) (m <= VL / 2 && k >= PAIRS_LEAST && is_letter(transb, 'N'))
#else
#define IN_PAIRS(m, k, transb) false
#define gemm_pairs(...)
#endif

/* ---- few columns of C ------------------------------------------------------------------------------------- */

#define THIN min_(TILE_COLUMNS, 4)

/* Of more rows than a vector has, and up to THIN columns: panels of two vectors, after one of one if their number is odd. */
ALIKE void gemm_thin(GEMM_PARAMETERS)
{
	struct product g = product_of(transa, transb, k, alpha, a, lda, b, ldb, beta);
	int first = vectors_of(m) % 2 ? VL : 0;
	E *rest = (E *)c + first;

#define THIN_TILES(NR)                                                                                                 \
	case NR:                                                                                                       \
		if (first)                                                                                             \
			product_tile(1, NR, false, &g, g.a, b, c, ldc, VL);                                            \
		g.a += first;                                                                                          \
		product_tiles(2, NR, false, &g, b, rest, ldc, m - first);                                              \
		break;
	switch (n) {
		THIN_TILES(1)
		THIN_TILES(2)
#if TILE_COLUMNS >= 4
		THIN_TILES(3)
		THIN_TILES(4)
#endif
	}
#undef THIN_TILES
}

void NAME(gemm)(GEMM_PARAMETERS)
{
	bool ta = !is_letter(transa, 'N');

	NARROW(!COMPLEX && ta && max_(m, k) <= VL / 2, gemm, GEMM_ARGUMENTS)
	if (ta || e_is0(*(const E *)alpha))
		gemm_any(GEMM_ARGUMENTS);
	else if (IN_PAIRS(m, k, transb))
		gemm_pairs(GEMM_ARGUMENTS);
	else if (m <= VL)
		gemm_low(GEMM_ARGUMENTS);
	else if (n <= THIN)
		gemm_thin(GEMM_ARGUMENTS);
	else
		gemm_any(GEMM_ARGUMENTS);
}
