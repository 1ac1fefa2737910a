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

			UNROLL for (int u = 0; u < VL; u++) {
				int column = min_(j + u, n - 1);

				r[u] = load_range(a + i + column * lda, 0, column + 1 - i);
			}
			v_transpose(r);
			UNROLL for (int u = 0; u < VL; u++)
				if (i + u < n)
					v_store(w + j + (i + u) * ld, v_conj(r[u]));
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

			UNROLL for (int u = 0; u < VL; u++)
				r[u] = v_conj(v_load(w + j + min_(i + u, n - 1) * ld));
			v_transpose(r);
			UNROLL for (int u = 0; u < VL; u++) {
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

FN void scale_rows(E *column, int first, int rows, T by)
{
	for (int i = first - first % VL; i < rows; i += VL)
		v_store(column + i, v_load(column + i) * v_set1(by));
}

/* Column j is finished, and subtracted from those to its right. The pivot is positive. */
FN void cholesky_step(E *w, ptrdiff_t ld, int n, int j, T pivot)
{
	E *column = w + j * ld;
	bool tiny = pivot < SAFE_MIN; /* whose reciprocal may overflow: scaled first */
	T root = t_sqrt(pivot), by = 1 / pivot;

	if (__builtin_expect(tiny, false)) {
		scale_rows(column, j, n, 1 / root);
		by = 1;
	}
	for (int c = j + 1; c < n; c++) {
		B f = b_set(e_mul(e_conj(column[c]), e_from_real(by)));

		for (int i = c - c % VL; i < n; i += VL)
			v_store(w + i + c * ld, v_msub(v_load(w + i + c * ld), v_load(column + i), f));
	}
	if (!tiny)
		scale_rows(column, j, n, 1 / root);
	column[j] = e_from_real(root);
}

int NAME(potrf)(int uplo, int n, void *a, ptrdiff_t lda)
{
	bool lower = is_letter(uplo, 'L');
	ptrdiff_t ld = vectors_of(n) * VL;
	E w[CAP * CAP];
	int done = 0;

	if (lower)
		load_lower(w, ld, a, lda, n);
	else
		load_upper(w, ld, a, lda, n);
	for (; done < n; done++) {
		T pivot = e_re(w[done + done * ld]);

		if (!__builtin_isgreater(pivot, 0))
			break;
		cholesky_step(w, ld, n, done, pivot);
	}
	if (lower)
		store_lower(a, lda, w, ld, n, done);
	else
		store_upper(a, lda, w, ld, n, done);
	return done < n ? done + 1 : 0;
}
