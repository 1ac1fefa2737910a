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

/* y = alpha A x + beta y for one panel of rows. Odd and even columns have sums of their own: half the latency. */
FN void gemv_panel(const int P, const bool part, int rows, int n, const E *a, ptrdiff_t lda, const E *x, E alpha,
		   E beta, E *y)
{
	VM mask = v_mask(part ? rows : VL);
	ACC acc[2][PANEL_MAX];
	int j = 0;

	UNROLL for (int h = 0; h < 2; h++) UNROLL for (int p = 0; p < P; p++) acc[h][p] = acc_zero();
	for (; j + 2 <= n; j += 2, a += 2 * lda)
		UNROLL for (int h = 0; h < 2; h++) UNROLL for (int p = 0; p < P; p++)
		{
			const E *at = a + h * lda + row_of(P, p, rows);

			acc[h][p] = acc_mac(acc[h][p], part ? v_loadm(at, mask) : v_load(at), x + j + h);
		}
	if (j < n)
		UNROLL for (int p = 0; p < P; p++)
		{
			const E *at = a + row_of(P, p, rows);

			acc[0][p] = acc_mac(acc[0][p], part ? v_loadm(at, mask) : v_load(at), x + j);
		}
	V r[PANEL_MAX];

	UNROLL for (int p = 0; p < P; p++)
	{
		r[p] = acc_value(acc_add(acc[0][p], acc[1][p]), conj_none());
		if (!COMPLEX || !e_is1(alpha))
			r[p] = v_mul(r[p], b_set(alpha));
		if (!e_is0(beta)) {
			V old = part ? v_loadm(y, mask) : v_load(y + row_of(P, p, rows));

			r[p] = v_plus(r[p], old, beta);
		}
	}
	if (part)
		v_storep(y, r[0], rows);
	else
		UNROLL for (int p = 0; p < P; p++) v_store(y + row_of(P, p, rows), r[p]);
}

static void gemv_n(int m, int n, const E *a, ptrdiff_t lda, const E *x, E alpha, E beta, E *y)
{
	for (int i = 0; i < m;) {
		int P = panel_vectors(vectors_of(m - i)), rows = min_(P * VL, m - i);

		if (rows < VL)
			gemv_panel(1, true, rows, n, a + i, lda, x, alpha, beta, y + i);
		else if (P == 1)
			gemv_panel(1, false, rows, n, a + i, lda, x, alpha, beta, y + i);
		else if (P == 2)
			gemv_panel(2, false, rows, n, a + i, lda, x, alpha, beta, y + i);
		else
			gemv_panel(3, false, rows, n, a + i, lda, x, alpha, beta, y + i);
		i += rows;
	}
}

/* sums[j] = column j of A times x, for NC columns. */
FN void dots(const int NC, int m, const E *a, ptrdiff_t lda, const E *x, bool conj, E *sums)
{
	VM mask = v_mask(m % VL);
	ACC acc[4];
	int i = 0;

	UNROLL for (int j = 0; j < NC; j++) acc[j] = acc_zero();
	for (; i + VL <= m; i += VL)
		UNROLL for (int j = 0; j < NC; j++) acc[j] = acc_dot(acc[j], v_load(a + i + j * lda), v_load(x + i));
	if (i < m)
		UNROLL for (int j = 0; j < NC; j++) acc[j] =
			acc_dot(acc[j], v_loadm(a + i + j * lda, mask), v_loadm(x + i, mask));
	UNROLL for (int j = 0; j < NC; j++) sums[j] = acc_sum(acc[j], conj);
}

static void gemv_t(int m, int n, const E *a, ptrdiff_t lda, const E *x, bool conj, E alpha, E beta, E *y)
{
	E sums[CAP + 4];
	int j = 0;

	for (; j + 4 <= n; j += 4)
		dots(4, m, a + j * lda, lda, x, conj, sums + j);
	for (; j < n; j++)
		dots(1, m, a + j * lda, lda, x, conj, sums + j);
	for (j = 0; j < n; j++) {
		E r = COMPLEX && e_is1(alpha) ? sums[j] : e_mul(alpha, sums[j]);

		y[j] = e_is0(beta) ? r : e_plus(r, y[j], beta);
	}
}

static void gemv_contiguous(int trans, int m, int n, E alpha, const E *a, ptrdiff_t lda, const E *x, E beta, E *y)
{
	if (is_letter(trans, 'N'))
		gemv_n(m, n, a, lda, x, alpha, beta, y);
	else
		gemv_t(m, n, a, lda, x, is_letter(trans, 'C'), alpha, beta, y);
}

/* Vectors with gaps are copied. */
static __attribute__((noinline)) void gemv_strided(int trans, int m, int n, E alpha, const E *a, ptrdiff_t lda,
						   const E *x, ptrdiff_t incx, E beta, E *y, ptrdiff_t incy)
{
	int nx = is_letter(trans, 'N') ? n : m, ny = is_letter(trans, 'N') ? m : n;
	E xs[CAP], ys[CAP];

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
