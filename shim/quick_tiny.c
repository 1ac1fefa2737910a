/* Small calls computed at once. */
#include "offload/tiny/tiny.h"
#include "shim/blas_shapes.h"
#include "shim/quick.h"

uint8_t cdm_quick_tiny_most[CDM_BLAS_COUNT];
static uint8_t from[CDM_BLAS_COUNT];

static int most(const struct cdm_quick *q)
{
	int n = q->m > q->n ? q->m : q->n;
	return n > q->k ? n : q->k;
}

bool cdm_quick_tiny(const struct cdm_quick *q, int routine)
{
	int n = most(q);

	if (n > cdm_quick_tiny_most[routine] || n < from[routine])
		return false;
	switch (routine) {
#define GEMM(t)                                                                                                        \
	case CDM_BLAS_##t##gemm:                                                                                       \
		cdm_tiny_##t##gemm(q->trans, q->trans_b, q->m, q->n, q->k, q->alpha, q->a, q->lda, q->b, q->ldb,       \
				   q->beta, q->c, q->ldc);                                                             \
		return true;
#define GEMV(t)                                                                                                        \
	case CDM_BLAS_##t##gemv:                                                                                       \
		cdm_tiny_##t##gemv(q->trans, q->m, q->n, q->alpha, q->a, q->lda, q->b, q->ldb, q->beta, q->c, q->ldc); \
		return true;
#define RANK(name)                                                                                                     \
	case CDM_BLAS_##name:                                                                                          \
		cdm_tiny_##name(q->uplo, q->trans, q->n, q->k, q->alpha, q->a, q->lda, q->beta, q->c, q->ldc);         \
		return true;
#define TRSM(t)                                                                                                        \
	case CDM_BLAS_##t##trsm:                                                                                       \
		cdm_tiny_##t##trsm(q->side, q->uplo, q->trans, q->diag, q->m, q->n, q->alpha, q->a, q->lda, q->b,      \
				   q->ldb);                                                                            \
		return true;
#define GETRF(t)                                                                                                       \
	case CDM_BLAS_##t##getrf:                                                                                      \
		*q->info = cdm_tiny_##t##getrf(q->m, q->n, q->a, q->lda, q->pivots);                                   \
		return true;
#define POTRF(t)                                                                                                       \
	case CDM_BLAS_##t##potrf:                                                                                      \
		*q->info = cdm_tiny_##t##potrf(q->uplo, q->n, q->a, q->lda);                                           \
		return true;
#define ALL(X) X(s) X(d) X(c) X(z)
		ALL(GEMM)
		ALL(GEMV)
		RANK(ssyrk)
		RANK(dsyrk)
		RANK(csyrk)
		RANK(zsyrk)
		RANK(cherk)
		RANK(zherk)
		ALL(TRSM)
		ALL(GETRF)
		ALL(POTRF)
	default:
		return false;
	}
}

/* The rows of enum cdm_scalar and enum cdm_tiny_type are the same types in the same order. */
static void set_limit(int routine, enum cdm_tiny_routine kernel)
{
	const struct cdm_tiny_limit *l = &cdm_tiny_limits[kernel][cdm_blas_table[routine].type];

	cdm_quick_tiny_most[routine] = l->to;
	from[routine] = l->from;
}

void cdm_quick_start(void)
{
	if (!cdm_tiny_usable())
		return;
#define LIMITS(name, KERNEL)                                                                                           \
	for (int i = 0; i < 4; i++)                                                                                    \
		set_limit(CDM_BLAS_s##name + i, CDM_TINY_##KERNEL);
	LIMITS(gemm, GEMM)
	LIMITS(gemv, GEMV)
	LIMITS(syrk, SYRK)
	LIMITS(trsm, TRSM)
	LIMITS(getrf, GETRF)
	LIMITS(potrf, POTRF)
	set_limit(CDM_BLAS_cherk, CDM_TINY_SYRK);
	set_limit(CDM_BLAS_zherk, CDM_TINY_SYRK);
}
