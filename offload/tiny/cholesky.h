/* potrf: right-looking, on a packed copy of the lower triangle; an upper one is (conjugate) transposed on its way.
 *
 * Columns are subtracted before they are scaled by the root of their pivot, with 1 / pivot as the factor: the roots
 * are not on the way from one pivot to the next. Lanes above the diagonal hold numbers that mean nothing. */
#pragma once

FN V load_range(const E *p, int from, int to)
{
	VM head = v_mask(max_(from, 0)), tail = v_mask(min_(to, VL));

	return v_loadm(p, _mm256_andnot_si256(head, tail));
}

FN void load_lower(E *w, ptrdiff_t ld, const E *a, ptrdiff_t lda, int n)
{
	for (int j = 0; j < n; j++)
		for (int i = j - j % VL; i < n; i += VL)
			v_store(w + i + j * ld, load_range(a + i + j * lda, j - i, n - i));
}

FN void load_upper(E *w, ptrdiff_t ld, const E *a, ptrdiff_t lda, int n)
{
	for (int j = 0; j < n; j += VL)
		for (int i = 0; i <= j; i += VL) {
			V r[VL];

			UNROLL for (int u = 0; u < VL; u++)
			{
				int column = min_(j + u, n - 1);

				r[u] = load_range(a + i + column * lda, 0, column + 1 - i);
			}
			v_transpose(r);
			UNROLL for (int u = 0; u < VL; u++) if (i + u < n) v_store(w + j + (i + u) * ld, v_conj(r[u]));
		}
}

/* The first `done` columns of the factor. */
FN void store_lower(E *a, ptrdiff_t lda, const E *w, ptrdiff_t ld, int n, int done)
{
	for (int j = 0; j < done; j++)
		unpack_column(a + j + j * lda, w + j + j * ld, n - j);
}

FN void store_upper(E *a, ptrdiff_t lda, const E *w, ptrdiff_t ld, int n, int done)
{
	for (int j = 0; j < n; j += VL)
		for (int i = 0; i <= j && i < done; i += VL) {
			V r[VL];

			UNROLL for (int u = 0; u < VL; u++) r[u] = v_conj(v_load(w + j + min_(i + u, n - 1) * ld));
			v_transpose(r);
			UNROLL for (int u = 0; u < VL; u++)
			{
				int rows = min_(j + u + 1, done) - i;

				if (j + u >= n)
					break;
				if (rows >= VL)
					v_store(a + i + (j + u) * lda, r[u]);
				else
					v_storep(a + i + (j + u) * lda, r[u], rows);
			}
		}
}

FN void scale_rows(const int W, E *column, int first, T by)
{
	for (int v = first / VL; v < W; v++)
		v_store(column + v * VL, v_load(column + v * VL) * v_set1(by));
}

FN T abs_squared(E x)
{
	return e_re(e_mul(x, e_conj(x)));
}

/* Column j is finished, and subtracted from those to its right. The pivot is positive. Returns the next one, which is
 * thus known before its column is. */
FN T cholesky_step(const int W, E *w, ptrdiff_t ld, int n, int j, T pivot)
{
	E *column = w + j * ld;
	bool small = pivot < SAFE_MIN; /* its reciprocal may overflow: scaled first */
	T root = t_sqrt(pivot), by = 1 / pivot, next = 0;

	if (__builtin_expect(small, false)) {
		scale_rows(W, column, j, 1 / root);
		by = 1;
	}
	if (j + 1 < n)
		next = e_re(column[ld + j + 1]) - abs_squared(column[j + 1]) * by;
	for (int c = j + 1; c < n; c++) {
		B f = b_set(e_mul(e_conj(column[c]), e_from_real(by)));
		E *to = w + c * ld;

		for (int v = c / VL; v < W; v++)
			v_store(to + v * VL, v_msub(v_load(to + v * VL), v_load(column + v * VL), f));
	}
	if (!small)
		scale_rows(W, column, j, 1 / root);
	column[j] = e_from_real(root);
	return next;
}

/* Columns until the pivot is not positive; W vectors in a column. */
FN int factor_cholesky(const int W, E *w, ptrdiff_t ld, int n)
{
	T pivot = e_re(w[0]);
	int done = 0;

	for (; done < n && __builtin_isgreater(pivot, 0); done++)
		pivot = cholesky_step(W, w, ld, n, done, pivot);
	return done;
}

int NAME(potrf)(int uplo, int n, void *a, ptrdiff_t lda)
{
	bool lower = is_letter(uplo, 'L');
	int vectors = vectors_of(n), done;
	ptrdiff_t ld = vectors * VL;
	E w[CAP * CAP];

	if (lower)
		load_lower(w, ld, a, lda, n);
	else
		load_upper(w, ld, a, lda, n);
	if (vectors == 1)
		done = factor_cholesky(1, w, VL, n);
	else if (vectors == 2)
		done = factor_cholesky(2, w, 2 * VL, n);
	else
		done = factor_cholesky(vectors, w, ld, n);
	if (lower)
		store_lower(a, lda, w, ld, n, done);
	else
		store_upper(a, lda, w, ld, n, done);
	return done < n ? done + 1 : 0;
}
