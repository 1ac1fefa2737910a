/* Products, of which gemm, syrk and herk are made: panels of rows of C, each computed in tiles. */
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

/* to = alpha acc + beta to */
FN void finish_tile(const int P, const int NR, const bool part, const struct product *g,
		    ACC acc[TILE_COLUMNS][PANEL_MAX], E *to, ptrdiff_t ldt, int rows)
{
	if (KNOW_ONE)
		ldt = anew(ldt);
	if (KNOW_ONE && g->beta_is == ONE)
		add_tile(P, NR, part, g, acc, to, ldt, rows);
	else
		put_tile(P, NR, part, g, acc, to, ldt, rows);
}

/* to[rows x NR] = alpha A B + beta to, with the first row of A at a and the first column of B at b. */
FN void product_tile(const int P, const int NR, const bool part, const struct product *g, const E *a, const E *b, E *to,
		     ptrdiff_t ldt, int rows)
{
	ACC acc[TILE_COLUMNS][PANEL_MAX];

	tile(P, NR, part, acc, g->k, rows, a, g->as, b, g->brs, KNOW_ONE ? anew(g->bcs) : g->bcs);
	finish_tile(P, NR, part, g, acc, to, ldt, rows);
}

/* The tiles of NR columns, one for each panel. */
FN void product_tiles(const int P, const int NR, const bool part, const struct product *g, const E *b, E *to,
		      ptrdiff_t ldt, int rows)
{
	const E *a = g->a;

	for (; P > 1 && rows > P * VL; rows -= P * VL, a += P * VL, to += P * VL)
		product_tile(P, NR, part, g, a, b, to, ldt, P * VL);
	product_tile(P, NR, part, g, a, b, to, ldt, rows);
}

FN void product_panels(const int P, const bool part, const struct product *given, E *to, ptrdiff_t ldt, int rows,
		       int columns)
{
	const struct product copy = *given, *g = &copy; /* which stores to C cannot change */
	const E *b = g->b;
	int j = 0;

	for (; j + TILE_COLUMNS <= columns; j += TILE_COLUMNS, b += TILE_COLUMNS * g->bcs, to += TILE_COLUMNS * ldt)
		product_tiles(P, TILE_COLUMNS, part, g, b, to, ldt, rows);
#define TILE(NR)                                                                                                       \
	case NR:                                                                                                       \
		product_tiles(P, NR, part, g, b, to, ldt, rows);                                                       \
		break;
	switch (columns - j) {
		EACH_WIDTH(TILE)
	}
#undef TILE
}

/* to = alpha A B + beta to, in panels of P vectors, of which the last may lack rows. For one panel of less than VL rows,
 * or of VL, P is 1. */
static void product(int P, const struct product *g, E *to, ptrdiff_t ldt, int rows, int columns)
{
	if (rows < VL)
		product_panels(1, true, g, to, ldt, rows, columns);
	else if (P == 1)
		product_panels(1, false, g, to, ldt, rows, columns);
	else if (P == 2)
		product_panels(2, false, g, to, ldt, rows, columns);
	else
		product_panels(3, false, g, to, ldt, rows, columns);
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
