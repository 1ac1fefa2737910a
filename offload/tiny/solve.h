/* trsm: all variants are one, X U = W with U upper triangular, solved column by column from the first.
 *
 * W is (a panel of) B, mostly a packed copy. From the left, op(A) X = B is transposed. Where U would be lower triangular
 * all columns are counted from the last: its strides, and W's, are negative. */
#pragma once

struct triangle {
	const E *a; /* element (l, j) of U at a + l rs + j cs */
	ptrdiff_t rs, cs;
	int k;
	bool unit, conj;
	bool divide; /* a reciprocal would overflow */
	E recip[CAP];
};

static void triangle_set(struct triangle *u, const E *a, ptrdiff_t lda, int k, bool swapped, bool backward)
{
	u->k = k;
	u->rs = swapped ? lda : 1;
	u->cs = swapped ? 1 : lda;
	u->a = a;
	if (backward) {
		u->a += (k - 1) * (lda + 1);
		u->rs = -u->rs;
		u->cs = -u->cs;
	}
	u->divide = false;
	if (u->unit)
		return;
	for (int j = 0; j < k; j++) {
		E d = u->a[j * (u->rs + u->cs)];

		d = u->conj ? e_conj(d) : d;
		u->recip[j] = e_recip(d);
		u->divide |= !e_safe(d);
	}
}

static __attribute__((noinline)) V divide(V v, E by)
{
	E e[VL];

	v_store(e, v);
	for (int i = 0; i < VL; i++)
		e[i] = e_div(e[i], by);
	return v_load(e);
}

/* NR columns of W, from column j. */
FN void solve_columns(const int P, const int NR, const struct triangle *u, E *w, ptrdiff_t ws, int j)
{
	const E *diagonal = u->a + j * (u->rs + u->cs);
	CONJ conj = conj_set(false, u->conj);
	ACC acc[TILE_COLUMNS][PANEL_MAX];
	V x[TILE_COLUMNS][PANEL_MAX];

	tile(P, NR, false, acc, j, P * VL, w, ws, u->a + j * u->cs, u->rs, u->cs);
	UNROLL for (int i = 0; i < NR; i++) UNROLL for (int p = 0; p < P; p++) x[i][p] =
		v_load(w + (j + i) * ws + p * VL) - acc_value(acc[i][p], conj);
	UNROLL for (int i = 0; i < NR; i++)
	{
		if (!u->unit)
			UNROLL for (int p = 0; p < P; p++)
			{
				if (__builtin_expect(u->divide, false))
					x[i][p] = divide(x[i][p], u->conj ? e_conj(diagonal[i * (u->rs + u->cs)])
									  : diagonal[i * (u->rs + u->cs)]);
				else
					x[i][p] = v_mul(x[i][p], b_load(&u->recip[j + i]));
			}
		UNROLL for (int q = i + 1; q < NR; q++)
		{
			B b = b_conj_if(b_load(diagonal + i * u->rs + q * u->cs), u->conj);

			UNROLL for (int p = 0; p < P; p++) x[q][p] = v_msub(x[q][p], x[i][p], b);
		}
		UNROLL for (int p = 0; p < P; p++) v_store(w + (j + i) * ws + p * VL, x[i][p]);
	}
}

FN void solve_panel(const int P, const struct triangle *u, E *w, ptrdiff_t ws)
{
	int j = 0;

	for (; j + TILE_COLUMNS <= u->k; j += TILE_COLUMNS)
		solve_columns(P, TILE_COLUMNS, u, w, ws, j);
#define SOLVE(NR)                                                                                                      \
	case NR:                                                                                                       \
		solve_columns(P, NR, u, w, ws, j);                                                                     \
		break;
	switch (u->k - j) {
		EACH_WIDTH(SOLVE)
	}
#undef SOLVE
}

/* Columns of whole vectors, the rows beyond the last zero. All `ldd` rows are written. */
FN void pack(E *to, ptrdiff_t ldd, const E *from, ptrdiff_t ld, int rows, int columns)
{
	VM mask = v_mask(rows % VL);

	for (int l = 0; l < columns; l++, to += ldd, from += ld) {
		int i = 0;

		for (; i + VL <= rows; i += VL)
			v_store(to + i, v_load(from + i));
		if (i < rows)
			v_store(to + i, v_loadm(from + i, mask)), i += VL;
		for (; i < ldd; i += VL)
			v_store(to + i, v_zero());
	}
}

/* `rows` elements of whole vectors to where there is room for no more. */
FN void unpack_column(E *to, const E *from, int rows)
{
	int i = 0;

	for (; i + VL <= rows; i += VL)
		v_store(to + i, v_load(from + i));
	if (i < rows)
		v_storep(to + i, v_load(from + i), rows - i);
}

/* Columns of whole vectors. */
static __attribute__((noinline)) void scale_columns(E *w, ptrdiff_t ldw, int rows, int columns, E alpha)
{
	B b = b_set(alpha);

	for (int l = 0; l < columns; l++, w += ldw)
		for (int i = 0; i < rows; i += VL)
			v_store(w + i, v_mul(v_load(w + i), b));
}

/* The panel in w, of P vectors, from its first or last column. */
static void solve_packed(const struct triangle *u, bool backward, E alpha, int P, E *w, ptrdiff_t ldw)
{
	if (!e_is1(alpha))
		scale_columns(w, ldw, P * VL, u->k, alpha);
	if (backward) {
		w += (u->k - 1) * ldw;
		ldw = -ldw;
	}
	if (P == 1)
		solve_panel(1, u, w, ldw);
	else if (P == 2)
		solve_panel(2, u, w, ldw);
	else
		solve_panel(3, u, w, ldw);
}

/* One panel: `rows` right-hand sides, columns of B (from the left) or rows (from the right). Rows that are whole vectors
 * are solved where they lie. */
static void solve(const struct triangle *u, bool left, bool backward, E alpha, int P, int rows, E *b, ptrdiff_t ldb)
{
	E w[PANEL_ROWS * CAP];
	ptrdiff_t ldw = P * VL;

	if (left) {
		pack_transposed(w, ldw, b, ldb, rows, u->k);
		solve_packed(u, backward, alpha, P, w, ldw);
		unpack_transposed(b, ldb, w, ldw, rows, u->k);
	} else if (rows == P * VL) {
		solve_packed(u, backward, alpha, P, b, ldb);
	} else {
		pack(w, ldw, b, ldb, rows, u->k);
		solve_packed(u, backward, alpha, P, w, ldw);
		for (int l = 0; l < u->k; l++)
			unpack_column(b + l * ldb, w + l * ldw, rows);
	}
}

struct solve_call {
	bool left, backward, transposed;
	int trans;
	struct triangle u; /* unit and conj */
};

/* For a triangle of order k, at most CAP, and `all` right-hand sides. */
static void solve_block(struct solve_call *s, int k, int all, E alpha, const E *a, ptrdiff_t lda, E *b, ptrdiff_t ldb)
{
	triangle_set(&s->u, a, lda, k, s->transposed ^ s->left, s->backward);
	for (int i = 0; i < all;) {
		int P = panel_vectors(vectors_of(all - i)), rows = min_(P * VL, all - i);

		solve(&s->u, s->left, s->backward, alpha, P, rows, b + i * (s->left ? ldb : 1), ldb);
		i += rows;
	}
}

/* Larger triangles: `done` unknowns, from `known` on, are taken from `size` others, from `first` on. */
static void take_known(const struct solve_call *s, int first, int size, int known, int done, int all, E alpha,
		       const E *a, ptrdiff_t lda, E *b, ptrdiff_t ldb)
{
	const E minus = e_from_real(-1);
	int row = s->left ? first : known, column = s->left ? known : first; /* of the block of op(A) */
	const E *block = s->transposed ? a + column + row * lda : a + row + column * lda;

	if (s->left)
		NAME(gemm)(s->trans, 'N', size, all, done, &minus, block, lda, b + known, ldb, &alpha, b + first, ldb);
	else
		NAME(gemm)
	('N', s->trans, all, size, done, &minus, b + known * ldb, ldb, block, lda, &alpha, b + first * ldb, ldb);
}

static __attribute__((noinline)) void solve_blocks(struct solve_call *s, int k, int all, E alpha, const E *a,
						   ptrdiff_t lda, E *b, ptrdiff_t ldb)
{
	for (int done = 0, size; done < k; done += size) {
		size = min_(CAP, k - done);
		int first = s->backward ? k - done - size : done, known = s->backward ? first + size : 0;

		if (done)
			take_known(s, first, size, known, done, all, alpha, a, lda, b, ldb);
		solve_block(s, size, all, done ? e_one() : alpha, a + first * (lda + 1), lda,
			    b + first * (s->left ? 1 : ldb), ldb);
	}
}

void NAME(trsm)(int side, int uplo, int trans, int diag, int m, int n, const void *alpha, const void *a, ptrdiff_t lda,
		void *b, ptrdiff_t ldb)
{
	NARROW(max_(m, n) <= VL / 2, trsm, side, uplo, trans, diag, m, n, alpha, a, lda, b, ldb)
	bool left = is_letter(side, 'L'), transposed = !is_letter(trans, 'N');
	int k = left ? m : n, all = left ? n : m;
	E al = *(const E *)alpha;
	struct solve_call s = {.left = left,
			       .backward = is_letter(uplo, 'L') ^ transposed ^ left,
			       .transposed = transposed,
			       .trans = trans};

	s.u.unit = is_letter(diag, 'U');
	s.u.conj = is_letter(trans, 'C');
	if (e_is0(al))
		scale(b, ldb, m, n, al);
	else if (k <= CAP)
		solve_block(&s, k, all, al, a, lda, b, ldb);
	else
		solve_blocks(&s, k, all, al, a, lda, b, ldb);
}
