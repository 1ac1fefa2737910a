/* Tiles: P vectors of rows by NR columns of a product, in registers.
 *
 * The rows of a panel are P vectors. Where they are not a multiple of VL the last vector overlaps the one before it, and
 * its rows are computed twice; a panel of fewer than VL rows (`part`) is one vector under a mask. P, NR and part
 * are constants: these functions are inlined into their callers. */
#pragma once

#define PANEL_MAX 3
#define PANEL_ROWS (PANEL_MAX * VL)
#define MAX_VECTORS (CAP / VL)

/* X for each number of columns that a tile can have but the largest. */
#if TILE_COLUMNS == 2
#define EACH_WIDTH(X) X(1)
#elif TILE_COLUMNS == 4
#define EACH_WIDTH(X) X(1) X(2) X(3)
#else
#define EACH_WIDTH(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#endif

/* Factorizations have code of their own for columns of 1 to 4, of 6, and of 8 vectors; other columns are G groups of W
 * vectors. EACH_VECTOR: v from `first` on, a constant where G is 1. */
#define EACH_VECTOR(v, first)                                                                                          \
	for (int g_ = (first) / W; g_ < G; g_++)                                                                       \
	UNROLL for (int u_ = 0, v = g_ * W; u_ < W; u_++, v++)

/* Vectors of the next panel, with `vectors` left to do: as many as possible, but not one where two are left over. */
FN int panel_vectors(int vectors)
{
	return vectors == 4 ? 2 : min_(vectors, PANEL_MAX);
}

/* Vectors of the panels of that many which follow each other. */
FN int alike_vectors(int vectors)
{
	int left = vectors % PANEL_MAX == 1 ? PANEL_MAX + 1 : vectors % PANEL_MAX;

	return vectors > PANEL_MAX + 1 ? vectors - left : vectors;
}

FN int vectors_of(int rows)
{
	return (rows + VL - 1) / VL;
}

/* Vectors in a column of a factorization's copy: an even number from 4 on. */
FN int whole_vectors(int rows)
{
	int vectors = vectors_of(rows);

	return vectors <= 4 ? vectors : (vectors + 1) / 2 * 2;
}

/* First row of vector p in a panel of `rows`. */
FN int row_of(const int P, int p, int rows)
{
	return p > 0 && p == P - 1 ? rows - VL : p * VL;
}

/* Vector p of a panel's rows in a column. */
FN V load_rows(const int P, const bool part, int p, int rows, const E *at)
{
	return part ? v_loadm(at, v_mask(rows)) : v_load(at + row_of(P, p, rows));
}

/* acc[j][p] = sum over l of column l of A (at a + l as) times B(l, j) (at b + l brs + j bcs). */
FN void tile(const int P, const int NR, const bool part, ACC acc[TILE_COLUMNS][PANEL_MAX], int k, int rows, const E *a,
	     ptrdiff_t as, const E *b, ptrdiff_t brs, ptrdiff_t bcs)
{
	VM mask = v_mask(part ? rows : VL);

	UNROLL for (int j = 0; j < NR; j++) UNROLL for (int p = 0; p < P; p++) acc[j][p] = acc_zero();
	const E *b4 = b + 4 * bcs; /* a register less for each column beyond 4 */

	for (int l = 0; l < k; l++, a += as, b += brs, b4 += brs) {
		V v[PANEL_MAX];

		UNROLL for (int p = 0; p < P; p++) v[p] = part ? v_loadm(a, mask) : v_load(a + row_of(P, p, rows));
		UNROLL for (int j = 0; j < NR; j++) UNROLL for (int p = 0; p < P; p++) acc[j][p] =
			acc_mac(acc[j][p], v[p], j < 4 ? b + j * bcs : b4 + (j - 4) * bcs);
	}
}

/* VL columns of the source become VL rows of the result; `whole`: they have VL rows or more from l on, else fewer. */
FN void pack_square(const bool whole, E *to, ptrdiff_t ldd, const E *from, ptrdiff_t ld, int columns, int rows)
{
	VM mask = v_mask(whole ? VL : rows);
	V r[VL];

	UNROLL for (int u = 0; u < VL; u++)
	{
		r[u] = whole ? v_load(from) : v_loadm(from, mask);
		from += u + 1 < columns ? ld : 0;
	}
	v_transpose(r);
	UNROLL for (int u = 0; u < VL; u++) if (whole || u < rows) v_store(to + u * ldd, r[u]);
}

/* Element (l, i) of the source becomes element (i, l) of the result, whose columns are `ldd` apart and hold whole
 * vectors: rows beyond the last repeat it. */
FN void pack_transposed(E *to, ptrdiff_t ldd, const E *from, ptrdiff_t ld, int rows, int columns)
{
	for (int i = 0; i < rows; i += VL, to += VL, from += VL * ld) {
		int l = 0;

		if (rows - i >= VL)
			for (; l + VL <= columns; l += VL)
				pack_square(true, to + l * ldd, ldd, from + l, ld, VL, VL);
		else
			for (; l + VL <= columns; l += VL)
				pack_square(true, to + l * ldd, ldd, from + l, ld, rows - i, VL);
		if (l < columns)
			pack_square(false, to + l * ldd, ldd, from + l, ld, rows - i, columns - l);
	}
}

/* The way back: VL rows of the source become columns of the result; `whole`: of VL rows, else fewer. */
FN void unpack_square(const bool whole, E *to, ptrdiff_t ld, const E *from, ptrdiff_t lds, int columns, int rows)
{
	V r[VL];

	UNROLL for (int u = 0; u < VL; u++)
	{
		r[u] = v_load(from);
		from += whole || u + 1 < rows ? lds : 0;
	}
	v_transpose(r);
	UNROLL for (int u = 0; u < VL; u++)
	{
		if (u >= columns)
			break;
		if (whole)
			v_store(to + u * ld, r[u]);
		else
			v_storep(to + u * ld, r[u], rows);
	}
}

/* Element (i, l) of the source, whose columns hold whole vectors, becomes element (l, i). */
FN void unpack_transposed(E *to, ptrdiff_t ld, const E *from, ptrdiff_t lds, int rows, int columns)
{
	for (int i = 0; i < rows; i += VL, from += VL, to += VL * ld) {
		int l = 0;

		if (rows - i >= VL)
			for (; l + VL <= columns; l += VL)
				unpack_square(true, to + l, ld, from + l * lds, lds, VL, VL);
		else
			for (; l + VL <= columns; l += VL)
				unpack_square(true, to + l, ld, from + l * lds, lds, rows - i, VL);
		if (l < columns)
			unpack_square(false, to + l, ld, from + l * lds, lds, rows - i, columns - l);
	}
}
