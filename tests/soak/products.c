/* Products: a block goes in, another takes the result, and every element of it is known. */
#include <stdlib.h>

#include "tests/soak/soak.h"

_Atomic long products;

static const char *const plain = "N", *const transposed = "T", *const upper = "U";

static struct block *other(struct thread *t, const struct block *a)
{
	for (int k = 0; k < 8; k++) {
		struct block *b = &t->block[below(t, SLOTS)];
		if (b != a && b->p)
			return b;
	}
	return NULL;
}

/* The largest n, at most `most`, for which n columns of leading dimension ld(n) = n + pad fit into words. */
static int side(size_t words, int pad, int most)
{
	int n = most;

	while (n > 4 && (size_t)(n + pad) * (size_t)n > words)
		n -= 1 + n / 16;
	return n;
}

/* C = f A S, or C += f A S, where S is the identity with its columns shifted. A has only its base. */
static void gemm(struct thread *t, struct block *a, struct block *c)
{
	int pad_a = (int)below(t, 3) * 37, pad_c = (int)below(t, 3) * 41;
	int k = 32 + (int)below(t, one_in(t, 5) ? 460 : 180);
	size_t words = a->words - a->words % 8;
	int na = side(words, pad_a, k), nc = side(c->words, pad_c, k), n = na < nc ? na : nc;
	int lda = n + pad_a, ldc = n + pad_c, shift = (int)below(t, (size_t)n), factor = 1 + (int)below(t, 3);
	bool add = one_in(t, 2);
	double alpha = factor, beta = add, *s = calloc((size_t)n * (size_t)n, sizeof(double));

	if (!s)
		return;
	if (c->layers >= LAYERS - 1)
		settle(c);
	for (int j = 0; j < n; j++)
		s[(j + shift) % n + (size_t)j * (size_t)n] = 1;
	did(t, a, "gemm-in");
	did(t, c, add ? "gemm-add" : "gemm-out");
	dgemm_(plain, plain, &n, &n, &n, &alpha, a->p, &lda, s, &n, &beta, c->p, &ldc);
	*layer_add(c) = (struct layer){.what = RECT,
				       .count = (size_t)ldc * (size_t)(n - 1) + (size_t)n,
				       .seed = a->seed,
				       .shift = (size_t)shift,
				       .rows = n,
				       .cols = n,
				       .ld = ldc,
				       .from_ld = lda,
				       .factor = factor,
				       .add = add};
	free(s);
	products++;
}

/* The element (i, j) of A A' over k columns. */
static double square(const struct block *a, int k, int lda, int i, int j)
{
	double s = 0;
	for (int l = 0; l < k; l++)
		s += pattern(a->seed, a->skipped + (size_t)i + (size_t)l * (size_t)lda) *
		     pattern(a->seed, a->skipped + (size_t)j + (size_t)l * (size_t)lda);
	return s;
}

/* C's upper triangle = A A'; the other triangle and the padding stay. C is painted anew afterwards. */
static void syrk(struct thread *t, struct block *a, struct block *c)
{
	int pad = 1 + (int)below(t, 60),
	    n = side(a->words < c->words ? a->words : c->words, pad, 40 + (int)below(t, 160));
	int ld = n + pad, k = 1 + (int)below(t, (size_t)n);
	double one = 1, zero = 0;

	did(t, a, "syrk-in");
	did(t, c, "syrk-out");
	dsyrk_(upper, plain, &n, &k, &one, a->p, &ld, &zero, c->p, &ld);
	for (int j = 0; j < n; j++)
		for (int i = one_in(t, 8) ? 0 : j; i < n; i += 1 + (int)below(t, 16)) {
			size_t at = (size_t)i + (size_t)j * (size_t)ld;
			double want = i <= j ? square(a, k, ld, i, j) : expected(c, at), got = c->p[at];
			if (got != want)
				wrong(t, c, "syrk: (%d, %d) of %d is %g, not %g", i, j, n, got, want);
		}
	repaint(t, c);
	products++;
}

/* y = A x with y inside C, at a place that is no page's start. */
static void gemv(struct thread *t, struct block *a, struct block *c)
{
	int pad = (int)below(t, 80), n = side(a->words, pad, 60 + (int)below(t, 300)), ld = n + pad, one_ = 1;
	size_t at = below(t, c->words - (size_t)n);
	double one = 1, zero = 0, *x = malloc((size_t)n * sizeof(double));
	bool trans = one_in(t, 2);

	if (!x)
		return;
	for (int i = 0; i < n; i++)
		x[i] = i % 3 - 1;
	did(t, a, "gemv-in");
	did(t, c, "gemv-out");
	dgemv_(trans ? transposed : plain, &n, &n, &one, a->p, &ld, x, &one_, &zero, &c->p[at], &one_);
	for (int i = 0; i < n; i += 1 + (int)below(t, 8)) {
		double want = 0, got = c->p[at + (size_t)i];
		for (int j = 0; j < n; j++)
			want += x[j] * pattern(a->seed, a->skipped + (size_t)(trans ? j : i) +
								(size_t)(trans ? i : j) * (size_t)ld);
		if (got != want)
			wrong(t, c, "gemv: element %d of %d is %g, not %g", i, n, got, want);
	}
	for (int i = 0; i < n; i++)
		c->p[at + (size_t)i] = expected(c, at + (size_t)i);
	free(x);
	products++;
}

/* The rectangles take their pattern from the start of A's. */
void compute_with(struct thread *t, struct block *a)
{
	struct block *c = other(t, a);

	if (!c)
		return;
	switch (a->skipped ? 1 + draw(t) % 2 : draw(t) % 5) {
	case 1:
		syrk(t, a, c);
		break;
	case 2:
		gemv(t, a, c);
		break;
	default:
		gemm(t, a, c);
	}
	check_some(t, c);
	if (!t->child && one_in(t, 3))
		check_some(t, a);
}

void compute(struct thread *t, struct block *a)
{
	settle(a);
	compute_with(t, a);
}
