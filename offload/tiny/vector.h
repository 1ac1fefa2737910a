/* gemv. */
#pragma once

/* Element i of a BLAS vector of n elements. */
FN ptrdiff_t at_inc(int i, int n, ptrdiff_t inc)
{
	return inc > 0 ? i * inc : (i - n + 1) * inc;
}

static __attribute__((noinline)) void gather(E *to, const E *x, int n, ptrdiff_t inc)
{
	for (int i = 0; i < n; i++)
		to[i] = x[at_inc(i, n, inc)];
}

static __attribute__((noinline)) void scatter(E *y, const E *from, int n, ptrdiff_t inc)
{
	for (int i = 0; i < n; i++)
		y[at_inc(i, n, inc)] = from[i];
}

/* Vectors of a panel, and sums of each: as many as hide the latency of an addition, and fit into the registers. */
#define GEMV_PANEL (COMPLEX ? 4 : 8)
#define GEMV_SUMS (GEMV_PANEL + 2 * !COMPLEX)
FN int sums_of(const int P)
{
	return P > GEMV_SUMS / 2 ? 1 : P > GEMV_SUMS / 4 ? 2 : 4;
}

/* y = alpha A x + beta y for one panel of rows. */
FN void gemv_panel(const int P, const bool part, int rows, int n, const E *a, ptrdiff_t lda, const E *x, E alpha,
		   E beta, E *y)
{
	const int H = sums_of(P);
	ACC acc[4][GEMV_PANEL];
	int j = 0;

	UNROLL for (int h = 0; h < H; h++) UNROLL for (int p = 0; p < P; p++) acc[h][p] = acc_zero();
	for (; j + H <= n; j += H, a += H * lda)
		UNROLL for (int h = 0; h < H; h++) UNROLL for (int p = 0; p < P; p++) acc[h][p] =
			acc_mac(acc[h][p], load_rows(P, part, p, rows, a + h * lda), x + j + h);
	for (; j < n; j++, a += lda)
		UNROLL for (int p = 0; p < P; p++) acc[0][p] =
			acc_mac(acc[0][p], load_rows(P, part, p, rows, a), x + j);
	V r[GEMV_PANEL];

	UNROLL for (int p = 0; p < P; p++)
	{
		UNROLL for (int h = 1; h < H; h++) acc[0][p] = acc_add(acc[0][p], acc[h][p]);
		r[p] = acc_value(acc[0][p], conj_none());
		if (!COMPLEX || !e_is1(alpha))
			r[p] = v_mul(r[p], b_set(alpha));
		if (!e_is0(beta))
			r[p] = v_plus(r[p], load_rows(P, part, p, rows, y), beta);
	}
	if (part)
		v_storep(y, r[0], rows);
	else
		UNROLL for (int p = 0; p < P; p++) v_store(y + row_of(P, p, rows), r[p]);
}

/* Vectors of the next panel, with `vectors` left to do. */
FN int gemv_panel_vectors(int vectors)
{
	if (vectors >= GEMV_PANEL + 2 || vectors == GEMV_PANEL)
		return GEMV_PANEL;
	return vectors > 4 ? (vectors == 6 || vectors == 9) && !COMPLEX ? 6 : 3 + (vectors == 7) : vectors;
}

static void gemv_n(int m, int n, const E *a, ptrdiff_t lda, const E *x, E alpha, E beta, E *y)
{
	for (int i = 0, rows; i < m; i += rows) {
		int P = gemv_panel_vectors(vectors_of(m - i));

		rows = min_(P * VL, m - i);
		if (rows < VL)
			gemv_panel(1, true, rows, n, a + i, lda, x, alpha, beta, y + i);
		else if (P == 1)
			gemv_panel(1, false, rows, n, a + i, lda, x, alpha, beta, y + i);
		else if (P == 2)
			gemv_panel(2, false, rows, n, a + i, lda, x, alpha, beta, y + i);
		else if (P == 3)
			gemv_panel(3, false, rows, n, a + i, lda, x, alpha, beta, y + i);
		else if (P == 4)
			gemv_panel(4, false, rows, n, a + i, lda, x, alpha, beta, y + i);
#if !COMPLEX
		else if (P == 6)
			gemv_panel(6, false, rows, n, a + i, lda, x, alpha, beta, y + i);
		else
			gemv_panel(8, false, rows, n, a + i, lda, x, alpha, beta, y + i);
#endif
	}
}

/* y = alpha sum + beta y for y[0] to y[NC - 1], NC columns of A times x. */
FN void dots(const int NC, int m, const E *a, ptrdiff_t lda, const E *x, bool conj, E alpha, E beta, E *y)
{
	const int U = COMPLEX ? 1 : 2;
	VM mask = v_mask(m % VL);
	ACC acc[2][4];
	int i = 0;

	UNROLL for (int u = 0; u < U; u++) UNROLL for (int j = 0; j < NC; j++) acc[u][j] = acc_zero();
	for (; i + U * VL <= m; i += U * VL)
		UNROLL for (int u = 0; u < U; u++) UNROLL for (int j = 0; j < NC; j++) acc[u][j] =
			acc_dot(acc[u][j], v_load(a + i + u * VL + j * lda), v_load(x + i + u * VL));
	if (U == 2 && i + VL <= m) {
		UNROLL for (int j = 0; j < NC; j++) acc[0][j] =
			acc_dot(acc[0][j], v_load(a + i + j * lda), v_load(x + i));
		i += VL;
	}
	if (i < m)
		UNROLL for (int j = 0; j < NC; j++) acc[U - 1][j] =
			acc_dot(acc[U - 1][j], v_loadm(a + i + j * lda, mask), v_loadm(x + i, mask));
	if (U == 2)
		UNROLL for (int j = 0; j < NC; j++) acc[0][j] = acc_add(acc[0][j], acc[1][j]);
	if (NC == 4) {
		put_sums(y, acc[0], conj, alpha, beta);
		return;
	}
	UNROLL for (int j = 0; j < NC; j++) put_sum(y + j, acc_sum(acc[0][j], conj), alpha, beta);
}

/* A function of its own has the registers for its sums. */
static __attribute__((noinline)) void four_dots(int m, const E *a, ptrdiff_t lda, const E *x, bool conj, E alpha,
						E beta, E *y)
{
	dots(4, m, a, lda, x, conj, alpha, beta, y);
}

/* For columns of one vector at most. */
static __attribute__((noinline, unused)) void short_dots(int m, int n, const E *a, ptrdiff_t lda, const E *x, bool conj,
							 E alpha, E beta, E *y)
{
	VM mask = v_mask(m);
	V all = v_loadm(x, mask);
	int j = 0;

	for (; j + 4 <= n; j += 4) {
		ACC acc[4];

		UNROLL for (int u = 0; u < 4; u++) acc[u] = acc_dot(acc_zero(), v_loadm(a + (j + u) * lda, mask), all);
		put_sums(y + j, acc, conj, alpha, beta);
	}
	for (; j < n; j++)
		put_sum(y + j, acc_sum(acc_dot(acc_zero(), v_loadm(a + j * lda, mask), all), conj), alpha, beta);
}

static void gemv_t(int m, int n, const E *a, ptrdiff_t lda, const E *x, bool conj, E alpha, E beta, E *y)
{
	int j = 0;

	if (REGISTERS == 32 && m <= VL) {
		short_dots(m, n, a, lda, x, conj, alpha, beta, y);
		return;
	}
	for (; j + 4 <= n; j += 4)
		four_dots(m, a + j * lda, lda, x, conj, alpha, beta, y + j);
	for (; j < n; j++)
		dots(1, m, a + j * lda, lda, x, conj, alpha, beta, y + j);
}

/* Bytes of A and of its columns from which on they are read from end to end: that is what the processor expects where the first
 * cache does not hold them. */
#define GEMV_STREAM (40 << 10)
#define GEMV_STREAM_COLUMN 768
#define STREAM_COLUMNS TILE_COLUMNS

/* y = A x + beta y for NC columns. */
FN void gemv_columns(const int NC, int m, const E *a, ptrdiff_t lda, const E *x, E beta, E *y)
{
	E factors[STREAM_COLUMNS];

	UNROLL for (int j = 0; j < NC; j++) factors[j] = x[j];
	for (int i = 0; i < m; i += VL) {
		VM mask = v_mask(min_(m - i, VL));
		ACC acc = acc_zero();
		V r;

		UNROLL for (int j = 0; j < NC; j++) acc = acc_mac(acc, v_loadm(a + i + j * lda, mask), &factors[j]);
		r = acc_value(acc, conj_none());
		if (!e_is0(beta))
			r = v_plus(r, v_loadm(y + i, mask), beta);
		v_storep(y + i, r, min_(m - i, VL));
	}
}

/* y = alpha A x + beta y for matrices that the first cache does not hold. */
static __attribute__((noinline)) void gemv_stream(int m, int n, const E *a, ptrdiff_t lda, const E *x, E alpha, E beta,
						  E *y)
{
	E scaled[CDM_TINY_VECTOR];
	int j = 0;

	for (int l = 0; l < n; l++)
		scaled[l] = e_is1(alpha) ? x[l] : e_mul(alpha, x[l]);
	for (; j + STREAM_COLUMNS <= n; j += STREAM_COLUMNS, beta = e_one())
		gemv_columns(STREAM_COLUMNS, m, a + j * lda, lda, scaled + j, beta, y);
	for (; j < n; j++, beta = e_one())
		gemv_columns(1, m, a + j * lda, lda, scaled + j, beta, y);
}

FN bool streams(int m, int n)
{
	return REGISTERS == 32 && m * n * (int)sizeof(E) >= GEMV_STREAM && m * (int)sizeof(E) >= GEMV_STREAM_COLUMN;
}

static void gemv_contiguous(int trans, int m, int n, E alpha, const E *a, ptrdiff_t lda, const E *x, E beta, E *y)
{
	if (is_letter(trans, 'N') && streams(m, n))
		gemv_stream(m, n, a, lda, x, alpha, beta, y);
	else if (is_letter(trans, 'N'))
		gemv_n(m, n, a, lda, x, alpha, beta, y);
	else
		gemv_t(m, n, a, lda, x, is_letter(trans, 'C'), alpha, beta, y);
}

/* Vectors with gaps are copied. */
static __attribute__((noinline)) void gemv_strided(int trans, int m, int n, E alpha, const E *a, ptrdiff_t lda,
						   const E *x, ptrdiff_t incx, E beta, E *y, ptrdiff_t incy)
{
	int nx = is_letter(trans, 'N') ? n : m, ny = is_letter(trans, 'N') ? m : n;
	E xs[CDM_TINY_VECTOR], ys[CDM_TINY_VECTOR];

	gather(xs, x, nx, incx);
	if (!e_is0(beta))
		gather(ys, y, ny, incy);
	gemv_contiguous(trans, m, n, alpha, a, lda, xs, beta, ys);
	scatter(y, ys, ny, incy);
}

void NAME(gemv)(int trans, int m, int n, const void *alpha, const void *a, ptrdiff_t lda, const void *x, ptrdiff_t incx,
		const void *beta, void *y, ptrdiff_t incy)
{
	E al = *(const E *)alpha, be = *(const E *)beta;
	int ny = is_letter(trans, 'N') ? m : n;

	if (e_is0(al))
		scale(y, incy < 0 ? -incy : incy, 1, ny, be);
	else if (incx == 1 && incy == 1)
		gemv_contiguous(trans, m, n, al, a, lda, x, be, y);
	else
		gemv_strided(trans, m, n, al, a, lda, x, incx, be, y, incy);
}
