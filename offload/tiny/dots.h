/* Sums over the lanes: gemv's, and those of gemm where columns of A and B meet that are long and few. */
#pragma once

/* y = alpha sum + beta y */
FN void put_sum(E *y, E sum, E alpha, E beta)
{
	E r = COMPLEX && e_is1(alpha) ? sum : e_mul(alpha, sum);

	*y = e_is0(beta) ? r : e_plus(r, *y, beta);
}

/* The same for four of each. */
#define SUM_VECTORS (VL > 4 ? 1 : 4 / VL)
FN void put_sums(E *y, const ACC acc[4], bool conj, E alpha, E beta)
{
#if COMPLEX
	V re[4], im[4], r[SUM_VECTORS];

	UNROLL for (int j = 0; j < 4; j++)
	{
		re[j] = v_xor(acc[j].re, v_signs(false, !conj));
		im[j] = v_xor(acc[j].im, v_signs(false, conj));
	}
	v_sum_pairs(r, re, im);
	UNROLL for (int p = 0; p < SUM_VECTORS; p++)
	{
		if (!e_is1(alpha))
			r[p] = v_mul(r[p], b_set(alpha));
		if (!e_is0(beta))
			r[p] = v_plus(r[p], load_rows(1, VL > 4, 0, 4, y + p * VL), beta);
		if (VL > 4)
			v_storep(y, r[p], 4);
		else
			v_store(y + p * VL, r[p]);
	}
#else
	(void)conj;
	v_put_sums(y, acc, alpha, beta);
#endif
}

/* Whether gemm_dots() takes less time than transposing A, in sixteenths of cycles: 35 to add up lanes, 4 VL to transpose a row. */
FN bool dots_are_cheaper(int m, int n, int k)
{
	return REGISTERS == 32 && !COMPLEX && m * n * (8 * k / VL + 35) < vectors_of(m) * k * (9 * n + 4 * VL);
}

/* alpha A^T B + beta C for NI by NJ elements of C. */
FN void dot_tile(const int NI, const int NJ, int k, const E *a, ptrdiff_t lda, const E *b, ptrdiff_t ldb, E alpha,
		 E beta, E *c, ptrdiff_t ldc)
{
	ACC acc[4][4];

	UNROLL for (int j = 0; j < NJ; j++) UNROLL for (int i = 0; i < NI; i++) acc[j][i] = acc_zero();
	for (int l = 0; l < k; l += VL) {
		VM mask = v_mask(min_(k - l, VL));
		V x[4];

		UNROLL for (int i = 0; i < NI; i++) x[i] = v_loadm(a + l + i * lda, mask);
		UNROLL for (int j = 0; j < NJ; j++)
		{
			V y = v_loadm(b + l + j * ldb, mask);

			UNROLL for (int i = 0; i < NI; i++) acc[j][i] = acc_dot(acc[j][i], x[i], y);
		}
	}
	UNROLL for (int j = 0; j < NJ; j++)
	{
		if (NI == 4)
			put_sums(c + j * ldc, acc[j], false, alpha, beta);
		else
			UNROLL for (int i = 0; i < NI; i++)
				put_sum(c + j * ldc + i, acc_sum(acc[j][i], false), alpha, beta);
	}
}

/* The same for NJ columns of C. */
FN void dot_columns(const int NJ, int m, int k, const E *a, ptrdiff_t lda, const E *b, ptrdiff_t ldb, E alpha, E beta,
		    E *c, ptrdiff_t ldc)
{
	int i = 0;

	for (; i + 4 <= m; i += 4)
		dot_tile(4, NJ, k, a + i * lda, lda, b, ldb, alpha, beta, c + i, ldc);
	if (m & 2)
		dot_tile(2, NJ, k, a + i * lda, lda, b, ldb, alpha, beta, c + i, ldc), i += 2;
	if (m & 1)
		dot_tile(1, NJ, k, a + i * lda, lda, b, ldb, alpha, beta, c + i, ldc);
}

static __attribute__((noinline)) void gemm_dots(int m, int n, int k, const E *a, ptrdiff_t lda, const E *b,
						ptrdiff_t ldb, E alpha, E beta, E *c, ptrdiff_t ldc)
{
	int j = 0;

	for (; j + 4 <= n; j += 4)
		dot_columns(4, m, k, a, lda, b + j * ldb, ldb, alpha, beta, c + j * ldc, ldc);
	if (n & 2)
		dot_columns(2, m, k, a, lda, b + j * ldb, ldb, alpha, beta, c + j * ldc, ldc), j += 2;
	if (n & 1)
		dot_columns(1, m, k, a, lda, b + j * ldb, ldb, alpha, beta, c + j * ldc, ldc);
}
