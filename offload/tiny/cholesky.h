/* potrf: right-looking, on a packed copy of the lower triangle; an upper one is (conjugate) transposed on its way.
 *
 * Columns are subtracted before they are scaled by the root of their pivot, with 1 / pivot as the factor: the roots
 * are not on the way from one pivot to the next. Lanes above the diagonal hold numbers that mean nothing. Up to order 4,
 * a real triangle is in registers, an element in each: there, most of the time goes into moving it. */
#pragma once

FN V load_range(const E *p, int from, int to)
{
	VM head = v_mask(max_(from, 0)), tail = v_mask(min_(to, VL));

	return v_loadm(p, v_mask_between(head, tail));
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

/* The rows of column j, from its own on, times by. */
FN void scale_rows(const int W, const int G, E *column, int j, T by)
{
	EACH_VECTOR(v, j / VL)
	if ((v + 1) * VL > j)
		v_store(column + v * VL, v_load(column + v * VL) * v_set1(by));
}

/* Column c loses f times the given one. */
FN void subtract_rows(const int W, const int G, E *w, int c, const E *column, const V l[8], int first, B f)
{
	E *to = w + c * (G * W * VL);

	if (G == 1)
		UNROLL for (int v = first; v < W; v++) v_store(to + v * VL, v_msub(v_load(to + v * VL), l[v], f));
	else
		for (int v = first; v < G; v++)
			v_store(to + v * VL, v_msub(v_load(to + v * VL), v_load(column + v * VL), f));
}

/* Column j is finished, and subtracted from those to its right. The pivot is positive. Returns the next one, which is
 * thus known before its column is. G is 1 or W is. */
FN T cholesky_step(const int W, const int G, E *w, int n, int j, T pivot)
{
	E *column = w + j * (G * W * VL);
	bool small = pivot < SAFE_MIN; /* its reciprocal may overflow: scaled first */
	T root = t_sqrt(pivot), by = small ? 1 : 1 / pivot, next = 0;
	V l[8];

	if (__builtin_expect(small, false))
		scale_rows(W, G, column, j, 1 / root);
	if (j + 1 < n)
		next = e_re(column[G * W * VL + j + 1]) - e_re(e_mul(e_mul(e_conj(column[j + 1]), e_from_real(by)),
								     column[j + 1])); /* its square may overflow */
	if (G == 1)
		EACH_VECTOR(v, 0)
	l[v] = v_load(column + v * VL);
	EACH_VECTOR(b, (j + 1) / VL)
	for (int c = max_(j + 1, b * VL); c < min_(n, (b + 1) * VL); c++)
		subtract_rows(W, G, w, c, column, l, b, b_set(e_mul(e_conj(column[c]), e_from_real(by))));
	if (!small)
		scale_rows(W, G, column, j, 1 / root);
	column[j] = e_from_real(root);
	return next;
}

/* Columns until the pivot is not positive. */
FN int factor_cholesky(const int W, const int G, E *w, int n)
{
	T pivot = e_re(w[0]);
	int done = 0;

	for (; done < n && __builtin_isgreater(pivot, 0); done++)
		pivot = cholesky_step(W, G, w, n, done, pivot);
	return done;
}

/* For columns of `vectors`, a number that whole_vectors() returns. */
static int factor_cholesky_of(int vectors, E *w, int n)
{
	if (vectors == 1)
		return factor_cholesky(1, 1, w, n);
	if (vectors == 2 || MAX_VECTORS == 2)
		return factor_cholesky(2, 1, w, n);
	if (vectors == 3)
		return factor_cholesky(3, 1, w, n);
	if (vectors == 4 || MAX_VECTORS == 4)
		return factor_cholesky(4, 1, w, n);
	if (vectors == 6 && MAX_VECTORS == 8)
		return factor_cholesky(6, 1, w, n);
	if (MAX_VECTORS == 8)
		return factor_cholesky(8, 1, w, n);
	return factor_cholesky(1, vectors, w, n);
}

#if !COMPLEX
#define SCALAR_ORDER 4

/* Element (i, j) of the lower form is a[i * down + j * right]. Returns how many columns are done; -1: nothing has been, as the
 * reciprocal of a pivot may overflow. */
FN int factor_scalars(const int N, E *a, ptrdiff_t down, ptrdiff_t right)
{
	E x[SCALAR_ORDER][SCALAR_ORDER];
	int done = 0;

	UNROLL for (int j = 0; j < N; j++) UNROLL for (int i = j; i < N; i++) x[i][j] = a[i * down + j * right];
	UNROLL for (int j = 0; j < N; j++)
	{
		if (done < j || !__builtin_isgreater(x[j][j], 0))
			break;
		if (__builtin_expect(x[j][j] < SAFE_MIN, false))
			return -1;
		E root = t_sqrt(x[j][j]), by = 1 / x[j][j];

		UNROLL for (int c = j + 1; c < N; c++) UNROLL for (int i = c; i < N; i++) x[i][c] -=
			x[i][j] * (x[c][j] * by);
		UNROLL for (int i = j + 1; i < N; i++) x[i][j] *= 1 / root;
		x[j][j] = root;
		done = j + 1;
	}
	UNROLL for (int j = 0; j < N; j++)
	{
		if (j >= done)
			break;
		UNROLL for (int i = j; i < N; i++) a[i * down + j * right] = x[i][j];
	}
	return done;
}

static int factor_smallest(bool lower, int n, E *a, ptrdiff_t lda)
{
	ptrdiff_t down = lower ? 1 : lda, right = lower ? lda : 1;

	switch (n) {
	case 1:
		return factor_scalars(1, a, down, right);
	case 2:
		return factor_scalars(2, a, down, right);
	case 3:
		return factor_scalars(3, a, down, right);
	default:
		return factor_scalars(4, a, down, right);
	}
}
#else
#define SCALAR_ORDER 0

static int factor_smallest(bool lower, int n, E *a, ptrdiff_t lda)
{
	(void)lower, (void)n, (void)a, (void)lda;
	return -1;
}
#endif

static __attribute__((noinline)) int factor_packed(bool lower, int n, E *a, ptrdiff_t lda)
{
	int vectors = whole_vectors(n), ld = vectors * VL, done;
	E w[CAP * CAP + VL]; /* store_lower() loads whole vectors from any row */

	for (int j = 0; j < n; j++)
		for (int i = vectors_of(n) * VL; i < ld; i += VL)
			v_store(w + i + j * ld, v_zero());
	if (lower)
		load_lower(w, ld, a, lda, n);
	else
		load_upper(w, ld, a, lda, n);
	done = factor_cholesky_of(vectors, w, n);
	if (lower)
		store_lower(a, lda, w, ld, n, done);
	else
		store_upper(a, lda, w, ld, n, done);
	return done;
}

/* Of an order up to CAP. Returns info. */
static int potrf_small(bool lower, int n, E *a, ptrdiff_t lda)
{
	int done = n <= SCALAR_ORDER ? factor_smallest(lower, n, a, lda) : -1;

	if (done < 0)
		done = factor_packed(lower, n, a, lda);
	return done < n ? done + 1 : 0;
}

/* A block row or column of n elements below or beside the factor of order k: solved for, and taken from the rest. */
FN void take_factored(bool lower, int k, int n, const E *factor, E *block, E *rest, ptrdiff_t lda)
{
	const int h = COMPLEX ? 'C' : 'T';
	const E one = e_one();
	const T minus_1 = -1, plus_1 = 1;

	if (lower)
		NAME(trsm)('R', 'L', h, 'N', n, k, &one, factor, lda, block, lda);
	else
		NAME(trsm)('L', 'U', h, 'N', k, n, &one, factor, lda, block, lda);
#if COMPLEX
	NAME(herk)(lower ? 'L' : 'U', lower ? 'N' : h, n, k, &minus_1, block, lda, &plus_1, rest, lda);
#else
	NAME(syrk)(lower ? 'L' : 'U', lower ? 'N' : h, n, k, &minus_1, block, lda, &plus_1, rest, lda);
#endif
}

int NAME(potrf)(int uplo, int n, void *a, ptrdiff_t lda)
{
	NARROW(n <= VL / 2, potrf, uplo, n, a, lda)
	bool lower = is_letter(uplo, 'L');
	E *diagonal = a;

	for (int j = 0, k; j < n; j += k, diagonal += k * (lda + 1)) {
		int info = potrf_small(lower, k = min_(CAP, n - j), diagonal, lda);

		if (info)
			return j + info;
		if (j + k < n)
			take_factored(lower, k, n - j - k, diagonal, diagonal + k * (lower ? 1 : lda),
				      diagonal + k * (lda + 1), lda);
	}
	return 0;
}
