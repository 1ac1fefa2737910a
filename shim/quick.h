/* Quick calls: small ones whose arguments the gate reads and checks by itself, without the normalised call of blas_args.h.
 *
 * A small call costs less than finding out everything about it. For the routines that programs call by the million it is enough
 * to know that the call is legal and not empty: then it may be computed at once (offload/tiny), or forwarded to a better library
 * than the program's. Everything else is left to the original.
 */
#ifndef CDM_SHIM_QUICK_H
#define CDM_SHIM_QUICK_H

#include <stdbool.h>

#include "shim/gate.h"

/* What a call says, column-major; sizes from 1 on. A dimension that its routine does not have is 0;
 * other such fields are not set. */
struct cdm_quick {
	char side, uplo, trans, trans_b, diag; /* upper-case letters; trans is also that of B's other operand, A */
	int m, n, k;
	uint64_t work;            /* flops: what blas_fill.c says of the whole call, to a few */
	int lda, ldb, ldc;        /* gemv: ldb and ldc are the increments of x and y */
	const void *alpha, *beta; /* CBLAS by value: where the gate has saved them */
	void *a, *b, *c;          /* gemv: x and y; trsm: b; factorizations: a */
	int *pivots, *info;
};

/* The argument lists that are read. */
bool cdm_quick_has(int shape);
/* Fills in *q with a call that is legal and computes something. False: it is not certainly that, or an extent is above
 * CDM_QUICK_MOST. Integer registers only. */
#define CDM_QUICK_MOST 4096
bool cdm_quick_read(struct cdm_quick *q, const struct cdm_regs *regs, const struct cdm_slot *slot);
/* Computes the call if it is legal, as small as that, and of less work than limit. False: nothing was done. Integer registers only, but
 * for calls that are computed. */
bool cdm_quick_at_once(const struct cdm_regs *regs, const struct cdm_slot *slot, uint64_t limit);
/* From the first slow call on, if this CPU can do that at all. Any thread, any number of times. */
void cdm_quick_start(void);

#endif
