/* getrf of matrices that fit in registers: N columns, or fewer, of W vectors, of which the last may lack rows.
 *
 * Rows do change places here. Each column is kept in memory, too, for its single elements: vectors are stored there and elements
 * loaded, or elements stored and loaded, but a vector is never loaded there, which would wait for the elements. */
#pragma once

#if !COMPLEX && REGISTERS == 32
/* Up to 4 vectors, and 8 columns of 1 or 2, 4 of more. */
#define IN_REGISTERS(m, n) ((m) <= 2 * VL ? (n) <= 8 : (m) <= CAP && (n) <= 4)
_Static_assert(MAX_VECTORS <= 4, "columns in registers have no more");

FN uint64_t rows_from(int first, int m)
{
	return ~(uint64_t)0 >> (64 - m) & ~(uint64_t)0 << first;
}

/* The place of column j's pivot, as pivot_row() finds it, where rows are in order. */
FN int pivot_in(const int W, const V column[4], T first, int j, uint64_t below)
{
	V most = v_zero();
	uint64_t equal = 0;

	if (first != first)
		return j;
	UNROLL for (int v = 0; v < W; v++) most = v_max(v_keep(v_abs(column[v]), below >> (v * VL)), most);
	most = v_set1(v_hmax(most));
	UNROLL for (int v = 0; v < W; v++) equal |= v_eqbits(v_abs(column[v]), most) << (v * VL);
	return __builtin_ctzll(equal & below);
}

/* Rows j and p of a column change places. Returns what is in row j now. */
FN V exchange_in(const int W, V column[4], E *elements, int j, int p)
{
	V up = v_bcast(elements + p), down = v_bcast(elements + j);

	UNROLL for (int v = 0; v < W; v++) column[v] = v_replace(column[v], (uint64_t)1 << p >> (v * VL), down);
	column[j / VL] = v_replace(column[j / VL], (uint64_t)1 << j % VL, up);
	return up;
}

/* Multipliers replace the rows below the pivot. */
FN void multipliers_in(const int W, V column[4], E pivot, uint64_t below)
{
	if (e_is0(pivot))
		return;
	if (e_safe(pivot)) {
		V by = v_set1(e_recip(pivot));

		UNROLL for (int v = 0; v < W; v++) column[v] = v_replace(column[v], below >> (v * VL), column[v] * by);
	} else {
		V by = v_set1(pivot);

		UNROLL for (int v = 0; v < W; v++) column[v] = v_replace(column[v], below >> (v * VL), column[v] / by);
	}
}

typedef V in_registers[8][4];
typedef E in_memory[8][4 * VL];

/* Rows j and p of the columns before j, which are final but for that. */
FN void exchange_before(const int W, in_registers column, in_memory elements, const int j, int p)
{
	UNROLL for (int c = 0; c < 8; c++) if (c < j)
	{
		E up = elements[c][p];

		exchange_in(W, column[c], elements[c], j, p);
		elements[c][p] = elements[c][j];
		elements[c][j] = up;
	}
}

FN void keep_elements(const int W, E *elements, const V column[4])
{
	UNROLL for (int v = 0; v < W; v++) v_store(elements + v * VL, column[v]);
}

/* Returns info. */
FN int step_in_registers(const int W, const int N, in_registers column, in_memory elements, const int j, int m,
			 int *ipiv, int info)
{
	uint64_t below = rows_from(j + 1, m);
	int p = pivot_in(W, column[j], elements[j][j], j, rows_from(j, m));
	E pivot = elements[j][p];

	ipiv[j] = p + 1;
	exchange_before(W, column, elements, j, p);
	exchange_in(W, column[j], elements[j], j, p);
	multipliers_in(W, column[j], pivot, below);
	keep_elements(W, elements[j], column[j]);
	UNROLL for (int c = 0; c < N; c++) if (c > j)
	{
		V u = exchange_in(W, column[c], elements[c], j, p);

		UNROLL for (int v = 0; v < W; v++) column[c][v] =
			v_fnma_in(below >> (v * VL), column[j][v], u, column[c][v]);
		keep_elements(W, elements[c], column[c]);
	}
	return info ? info : e_is0(pivot) ? j + 1 : 0;
}

FN int lu_in_registers(const int W, const int N, int m, int n, E *a, ptrdiff_t lda, int *ipiv)
{
	int steps = min_(m, n), last = m - (W - 1) * VL;
	VM mask = v_mask(last);
	int info = 0;
	in_registers column;
	in_memory elements __attribute__((aligned(64)));

	UNROLL for (int c = 0; c < N; c++)
	{
		const E *from = a + min_(c, n - 1) * lda;

		UNROLL for (int v = 0; v < W; v++) column[c][v] =
			v < W - 1 ? v_load(from + v * VL) : v_loadm(from + v * VL, mask);
		keep_elements(W, elements[c], column[c]);
	}
#define STEP(j)                                                                                                        \
	if ((j) < N && (j) < steps)                                                                                    \
	info = step_in_registers(W, N, column, elements, j, m, ipiv, info)
	STEP(0);
	STEP(1);
	STEP(2);
	STEP(3);
	STEP(4);
	STEP(5);
	STEP(6);
	STEP(7);
#undef STEP
	UNROLL for (int c = 0; c < N; c++) if (c < n)
	{
		E *to = a + c * lda;

		UNROLL for (int v = 0; v < W - 1; v++) v_store(to + v * VL, column[c][v]);
		v_storep(to + (W - 1) * VL, column[c][W - 1], last);
	}
	return info;
}

static int getrf_in_registers(int m, int n, E *a, ptrdiff_t lda, int *ipiv)
{
	int vectors = vectors_of(m);

#define SHAPE(W, N)                                                                                                    \
	if ((W) <= MAX_VECTORS && vectors == (W) && n <= (N))                                                          \
	return lu_in_registers(W, N, m, n, a, lda, ipiv)
	SHAPE(1, 2);
	SHAPE(1, 4);
	SHAPE(1, 8);
	SHAPE(2, 2);
	SHAPE(2, 4);
	SHAPE(2, 8);
	SHAPE(3, 2);
	SHAPE(3, 4);
	SHAPE(4, 2);
	SHAPE(4, 4);
#undef SHAPE
	__builtin_unreachable();
}
#else
#define IN_REGISTERS(m, n) false
#define getrf_in_registers(...) 0
#endif
