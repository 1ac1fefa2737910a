/* Small calls computed at once. */
#include "offload/tiny/tiny.h"
#include "shim/blas_shapes.h"
#include "shim/quick_read.h"

/* struct cdm_tiny_limit. The work of gemm, syrk and gemv is in the gate's units. The largest dimension is from `from` to
 * from + more. */
struct limit;
typedef bool at_once_fn(const struct cdm_regs *, const struct cdm_slot *, const struct limit *, uint64_t);
static struct limit {
	uint32_t work, from, more, order, tall;
	bool complex, hermitian;
	_Atomic(at_once_fn *) at_once; /* set when the rest is; NULL: there is no kernel, or not yet */
	union {
		cdm_tiny_gemm_fn *gemm;
		cdm_tiny_gemv_fn *gemv;
		cdm_tiny_rank_fn *rank;
		cdm_tiny_trsm_fn *trsm;
		cdm_tiny_getrf_fn *getrf;
		cdm_tiny_potrf_fn *potrf;
	};
} limits[CDM_BLAS_COUNT];

/* Of the largest dimension. */
static inline bool in_range(const struct limit *l, const struct cdm_quick *q)
{
	return (unsigned)larger(larger(q->m, q->n), q->k) - l->from <= l->more;
}

/* Elements of the matrix that is overwritten. */
static inline unsigned area(const struct cdm_quick *q)
{
	return (unsigned)q->m * (unsigned)q->n;
}

/* Each reads a list and computes the call, so that nothing is stored in between: half of what a call of order 4 costs is the way to it.
 * The order of the tests is that of how soon larger calls leave. */
#define AT_ONCE(name)                                                                                                  \
	static __attribute__((noinline)) bool name##_at_once(const struct cdm_regs *regs, const struct cdm_slot *slot, \
							     const struct limit *l, uint64_t limit)

/* Of a legal call: no more work than most, and less than limit. */
static inline bool little(struct cdm_quick *q, const struct cdm_slot *slot, uint64_t most, uint64_t limit)
{
	q->work *= slot->coef;
	return q->work <= most && q->work < limit;
}

/* The same, where only the limit has been asked about: it was measured with products, and libraries take two to five times as long for
 * the same work in solves and factorizations of these sizes, with a team or without. */
static inline bool below_limit(struct cdm_quick *q, const struct cdm_slot *slot, uint64_t limit)
{
	return little(q, slot, UINT64_MAX, 3 * limit);
}

AT_ONCE(gemm)
{
	struct cdm_quick q;

	if (!gemm_read(&q, regs, slot, l->complex) || !in_range(l, &q) || !gemm_legal(&q) ||
	    !little(&q, slot, l->work, limit) || area(&q) > CDM_TINY_RESULT || (q.m > (int)l->order && q.trans != 'N'))
		return false;
	l->gemm(q.trans, q.trans_b, q.m, q.n, q.k, q.alpha, q.a, q.lda, q.b, q.ldb, q.beta, q.c, q.ldc);
	return true;
}

AT_ONCE(gemv)
{
	struct cdm_quick q;

	if (!gemv_read(&q, regs, slot, l->complex) || !in_range(l, &q) || !gemv_legal(&q) ||
	    !little(&q, slot, l->work, limit))
		return false;
	l->gemv(q.trans, q.m, q.n, q.alpha, q.a, q.lda, q.b, q.ldb, q.beta, q.c, q.ldc);
	return true;
}

AT_ONCE(rank)
{
	struct cdm_quick q;

	if (!rank_read(&q, regs, slot, l->complex, l->hermitian) || !in_range(l, &q) || q.n > (int)l->order ||
	    !rank_legal(&q, l->complex, l->hermitian) || !little(&q, slot, l->work, limit))
		return false;
	l->rank(q.uplo, q.trans, q.n, q.k, q.alpha, q.a, q.lda, q.beta, q.c, q.ldc);
	return true;
}

AT_ONCE(solve)
{
	struct cdm_quick q;

	if (!solve_read(&q, regs, slot, l->complex) || !in_range(l, &q) || !solve_legal(&q) || area(&q) > l->work ||
	    (q.side == 'L' ? q.m : q.n) > (int)l->order || !below_limit(&q, slot, limit))
		return false;
	l->trsm(q.side, q.uplo, q.trans, q.diag, q.m, q.n, q.alpha, q.a, q.lda, q.b, q.ldb);
	return true;
}

AT_ONCE(getrf)
{
	struct cdm_quick q;

	if (!getrf(&q, regs) || !in_range(l, &q))
		return false;
	bool fits = q.m <= (int)l->order ? area(&q) <= l->work : area(&q) <= l->tall && q.n <= CDM_TINY_THIN;
	if (!fits || !below_limit(&q, slot, limit))
		return false;
	*q.info = l->getrf(q.m, q.n, q.a, q.lda, q.pivots);
	return true;
}

AT_ONCE(potrf)
{
	struct cdm_quick q;

	if (!potrf(&q, regs) || !in_range(l, &q) || !below_limit(&q, slot, limit))
		return false;
	*q.info = l->potrf(q.uplo, q.n, q.a, q.lda);
	return true;
}

bool cdm_quick_at_once(const struct cdm_regs *regs, const struct cdm_slot *slot, uint64_t limit)
{
	const struct limit *l = &limits[slot->routine];

	at_once_fn *fn = atomic_load_explicit(&l->at_once, memory_order_acquire);

	return fn && fn(regs, slot, l, limit);
}

static at_once_fn *const functions[CDM_TINY_ROUTINES] = {
	[CDM_TINY_GEMM] = gemm_at_once,  [CDM_TINY_GEMV] = gemv_at_once,   [CDM_TINY_SYRK] = rank_at_once,
	[CDM_TINY_TRSM] = solve_at_once, [CDM_TINY_GETRF] = getrf_at_once, [CDM_TINY_POTRF] = potrf_at_once,
};

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
	l->tall = kernel == CDM_TINY_GETRF ? set->tall[cdm_blas_table[routine].type] : 0;
	l->complex = cdm_scalar_complex(cdm_blas_table[routine].type);
	l->hermitian = cdm_blas_shape[routine] == CDM_SHAPE_HERK;
	return l;
}

/* From now on, calls come here. */
static void open_gate(int routine, enum cdm_tiny_routine kernel)
{
	atomic_store_explicit(&limits[routine].at_once, functions[kernel], memory_order_release);
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
	open_gate(routine, CDM_TINY_##KERNEL)
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
