/* Three products, by ?gemm or as a batch of either kind, in any convention with 32-bit integers. */
#ifndef CDM_TESTS_BLAS_BATCH_H
#define CDM_TESTS_BLAS_BATCH_H

#include "tests/unit/blas_case.h"

enum { PRODUCTS = 3, STRIDE = 32, LD = 5, M = 3, N = 2, K = 4 };

struct batch {
	int gemm;
	enum way way;
	double alpha[2], beta[2], a[2 * PRODUCTS * STRIDE], b[2 * PRODUCTS * STRIDE], c[2 * PRODUCTS * STRIDE];
	int numbers[2][2]; /* by group */
	void *at[3][PRODUCTS];
	double scalars[2][4];
};

static void push_integer(struct words *w, const struct batch *b, int value)
{
	static int kept[16][2];
	static unsigned next;
	int *slot = kept[next++ % 16];

	slot[0] = value;
	slot[1] = -1;
	if (is_cblas(b->way))
		push(w, (uint64_t)value);
	else
		push_address(w, slot);
}

static void push_scalar(struct words *w, const struct batch *b, const double *s)
{
	if (is_cblas(b->way) && !is_complex(b->gemm))
		w->xmm[w->doubles++] = *s;
	else
		push_address(w, s);
}

/* gemm's list for product i, or with i < 0 the strided batch's */
static struct words product_words(struct batch *b, double *c, int i)
{
	struct words w = {.words = 0};
	size_t at = i < 0 ? 0 : (size_t)i * STRIDE * cdm_scalar_size(cdm_blas_table[b->gemm].type);
	char *matrix[] = {(char *)b->a + at, (char *)b->b + at, (char *)c + at};
	static const int sizes[] = {M, N, K};

	if (is_cblas(b->way))
		push(&w, b->way == CBLAS_ROW ? 101 : 102);
	for (int k = 0; k < 2; k++)
		is_cblas(b->way) ? push(&w, k ? 112 : 111) : push_address(&w, k ? "T" : "N");
	for (int k = 0; k < 3; k++)
		push_integer(&w, b, sizes[k]);
	push_scalar(&w, b, b->alpha);
	for (int k = 0; k < 3; k++) {
		if (k == 2)
			push_scalar(&w, b, b->beta);
		push_address(&w, matrix[k]);
		push_integer(&w, b, LD);
		if (i < 0)
			push_integer(&w, b, STRIDE);
	}
	if (i < 0)
		push_integer(&w, b, PRODUCTS);
	push(&w, 1);
	push(&w, 1);
	return w;
}

/* Two groups: of two products, and of one. */
static struct words grouped_words(struct batch *b, double *c)
{
	static const int sizes[] = {M, N, K, LD, LD, LD, 2};
	static const char letters[2][2] = {"NN", "TT"};
	size_t elem = cdm_scalar_size(cdm_blas_table[b->gemm].type);
	double *matrix[] = {b->a, b->b, c};
	struct words w = {.words = 0};

	for (int g = 0; g < 2; g++) {
		b->numbers[0][g] = 111;
		b->numbers[1][g] = 112;
		memcpy((char *)b->scalars[0] + (size_t)g * elem, b->alpha, elem);
		memcpy((char *)b->scalars[1] + (size_t)g * elem, b->beta, elem);
	}
	for (int k = 0; k < 3; k++)
		for (int i = 0; i < PRODUCTS; i++)
			b->at[k][i] = (char *)matrix[k] + (size_t)(i * STRIDE) * elem;
	static int arrays[7][2];
	for (int k = 0; k < 7; k++) {
		arrays[k][0] = sizes[k];
		arrays[k][1] = k == 6 ? 1 : sizes[k];
	}
	if (is_cblas(b->way))
		push(&w, b->way == CBLAS_ROW ? 101 : 102);
	for (int k = 0; k < 2; k++)
		push_address(&w, is_cblas(b->way) ? (const void *)b->numbers[k] : letters[k]);
	for (int k = 0; k < 3; k++)
		push_address(&w, arrays[k]);
	push_address(&w, b->scalars[0]);
	for (int k = 0; k < 3; k++) {
		if (k == 2)
			push_address(&w, b->scalars[1]);
		push_address(&w, b->at[k]);
		push_address(&w, arrays[3 + k]);
	}
	push_integer(&w, b, 2);
	push_address(&w, arrays[6]);
	return w;
}

#endif
