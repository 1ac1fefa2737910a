/* Small calls computed at once. */
#include "offload/tiny/tiny.h"
#include "shim/blas_shapes.h"
#include "shim/quick.h"

_Atomic uint16_t cdm_quick_tiny_most[CDM_BLAS_COUNT];
/* struct cdm_tiny_limit. The work of gemm, syrk and gemv is in the gate's units. The largest dimension is from `from` to
 * from + more; both are 0 for routines without kernels, and no call that is read has that. */
static struct limit {
	uint32_t work, from, more, order;
	union {
		cdm_tiny_gemm_fn *gemm;
		cdm_tiny_gemv_fn *gemv;
		cdm_tiny_rank_fn *rank;
		cdm_tiny_trsm_fn *trsm;
		cdm_tiny_getrf_fn *getrf;
		cdm_tiny_potrf_fn *potrf;
	};
} limits[CDM_BLAS_COUNT];

static int most(const struct cdm_quick *q)
{
	int n = q->m > q->n ? q->m : q->n;
	return n > q->k ? n : q->k;
}

/* Elements of the matrix that is overwritten. */
static unsigned area(const struct cdm_quick *q)
{
	return (unsigned)q->m * (unsigned)q->n;
}

/* Apart, so that larger calls do not pay for the registers that it saves. */
static __attribute__((noinline)) bool compute(const struct cdm_quick *q, int routine, const struct limit *l)
{
	switch (routine) {
#define LEAVE_IF(condition)                                                                                            \
	if (condition)                                                                                                 \
	return false
#define GEMM(t)                                                                                                        \
	case CDM_BLAS_##t##gemm:                                                                                       \
		LEAVE_IF(q->work > l->work || area(q) > CDM_TINY_RESULT || (q->m > (int)l->order && q->trans != 'N')); \
		l->gemm(q->trans, q->trans_b, q->m, q->n, q->k, q->alpha, q->a, q->lda, q->b, q->ldb, q->beta, q->c,   \
			q->ldc);                                                                                       \
		return true;
#define GEMV(t)                                                                                                        \
	case CDM_BLAS_##t##gemv:                                                                                       \
		LEAVE_IF(q->work > l->work);                                                                           \
		l->gemv(q->trans, q->m, q->n, q->alpha, q->a, q->lda, q->b, q->ldb, q->beta, q->c, q->ldc);            \
		return true;
#define RANK(name)                                                                                                     \
	case CDM_BLAS_##name:                                                                                          \
		LEAVE_IF(q->work > l->work || q->n > (int)l->order);                                                   \
		l->rank(q->uplo, q->trans, q->n, q->k, q->alpha, q->a, q->lda, q->beta, q->c, q->ldc);                 \
		return true;
#define TRSM(t)                                                                                                        \
	case CDM_BLAS_##t##trsm:                                                                                       \
		LEAVE_IF(area(q) > l->work || (q->side == 'L' ? q->m : q->n) > (int)l->order);                         \
		l->trsm(q->side, q->uplo, q->trans, q->diag, q->m, q->n, q->alpha, q->a, q->lda, q->b, q->ldb);        \
		return true;
#define GETRF(t)                                                                                                       \
	case CDM_BLAS_##t##getrf:                                                                                      \
		LEAVE_IF(area(q) > l->work || q->m > (int)l->order);                                                   \
		*q->info = l->getrf(q->m, q->n, q->a, q->lda, q->pivots);                                              \
		return true;
#define POTRF(t)                                                                                                       \
	case CDM_BLAS_##t##potrf:                                                                                      \
		*q->info = l->potrf(q->uplo, q->n, q->a, q->lda);                                                      \
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

bool cdm_quick_tiny(const struct cdm_quick *q, int routine)
{
	const struct limit *l = &limits[routine];

	return (unsigned)most(q) - l->from <= l->more && compute(q, routine, l);
}

/* The rows of enum cdm_scalar and enum cdm_tiny_type are the same types in the same order. */
static struct limit *set_limit(const struct cdm_tiny_set *set, int routine, enum cdm_tiny_routine kernel)
{
	const struct cdm_tiny_limit *from = &set->limits[kernel][cdm_blas_table[routine].type];
	unsigned coef =
		cdm_shapes[cdm_blas_shape[routine]].coef * (cdm_scalar_complex(cdm_blas_table[routine].type) ? 4u : 1);
	bool elements = kernel == CDM_TINY_TRSM || kernel == CDM_TINY_GETRF;
	struct limit *l = &limits[routine];

	l->work = elements ? from->work : kernel == CDM_TINY_SYRK ? from->work * coef / 2 : from->work * coef;
	l->from = from->from;
	l->more = from->to - from->from;
	l->order = from->order;
	return l;
}

/* From now on, calls with dimensions up to the limit's come here. */
static void open_gate(const struct cdm_tiny_set *set, int routine, enum cdm_tiny_routine kernel)
{
	atomic_store_explicit(&cdm_quick_tiny_most[routine], set->limits[kernel][cdm_blas_table[routine].type].to,
			      memory_order_release);
}

void cdm_quick_start(void)
{
	static _Atomic bool started;
	const struct cdm_tiny_set *set;

	if (atomic_load_explicit(&started, memory_order_relaxed) || atomic_exchange(&started, true))
		return;
	set = cdm_tiny_set(0);
	if (!set)
		return;
#define START(routine, KERNEL, member, function)                                                                       \
	set_limit(set, routine, CDM_TINY_##KERNEL)->member = function;                                                 \
	open_gate(set, routine, CDM_TINY_##KERNEL)
	for (int t = 0; t < CDM_TINY_TYPES; t++) {
		const struct cdm_tiny_kernels *k = &set->of[t];

		START(CDM_BLAS_sgemm + t, GEMM, gemm, k->gemm);
		START(CDM_BLAS_sgemv + t, GEMV, gemv, k->gemv);
		START(CDM_BLAS_ssyrk + t, SYRK, rank, k->syrk);
		START(CDM_BLAS_strsm + t, TRSM, trsm, k->trsm);
		START(CDM_BLAS_sgetrf + t, GETRF, getrf, k->getrf);
		START(CDM_BLAS_spotrf + t, POTRF, potrf, k->potrf);
	}
	START(CDM_BLAS_cherk, SYRK, rank, set->of[CDM_TINY_C].herk);
	START(CDM_BLAS_zherk, SYRK, rank, set->of[CDM_TINY_Z].herk);
}
